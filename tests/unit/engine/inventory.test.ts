import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { listModels } from '../../../ts/engine/models/inventory.js';
import { defaultModel } from '../../../ts/engine/models/known-models.js';

const folder = mkdtempSync(join(tmpdir(), 'stomp-inventory-'));
afterAll(() => rmSync(folder, { recursive: true }));

function write(path: string, text = 'x'): void {
  mkdirSync(join(folder, path, '..'), { recursive: true });
  writeFileSync(join(folder, path), text);
}

it('a folder that is not there holds what could be brought', async () => {
  const models = await listModels(join(folder, 'nowhere'));
  expect(models).toContainEqual(expect.objectContaining({ name: defaultModel, source: 'known', here: 'no' }));
  expect(models.every(({ here, sizeBytes }) => here === 'no' && sizeBytes > 0)).toBe(true);
});

it('models are told from downloads that have not ended and from other files', async () => {
  write(`${defaultModel}/model.gguf`, '12345');
  write('hub/owner--whole/.stomp-model.json');
  write('hub/owner--whole/model.safetensors', '123');
  write('hub/owner--partly/model.safetensors', '1');
  write('mine.gguf', '1234');
  write('folder/config.json');
  write('folder/a.safetensors', '12');
  write('folder/b.safetensors', '3');
  write('readme.txt');
  write('.hidden.gguf');
  symlinkSync(join(folder, 'gone'), join(folder, 'dangling.gguf'));
  const found = (await listModels(folder)).map(({ name, source, here, sizeBytes }) => [
    name,
    source,
    here,
    sizeBytes,
  ]);
  expect(found).toEqual(
    expect.arrayContaining([
      [defaultModel, 'known', 'yes', 5],
      ['owner/whole', 'hub', 'yes', 3],
      ['owner/partly', 'hub', 'partly', 1],
      [join(folder, 'mine.gguf'), 'file', 'yes', 4],
      [join(folder, 'folder'), 'file', 'yes', 3],
    ]),
  );
  expect(found.filter(([, source]) => source !== 'known')).toHaveLength(4);
});
