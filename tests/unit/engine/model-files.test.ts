/** Whether a model could be served, told from its files. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { run } from '../../../ts/cli/run.js';
import { checkModelFiles } from '../../../ts/engine/models/model-files.js';

const fixture = join(import.meta.dirname, '../../fixtures/models/tiny-llama.Q4_1.gguf');
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'stomp-model-files-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

it('a .gguf file is one when it begins and goes on as one', async () => {
  await checkModelFiles(fixture);
  const path = join(folder, 'model.gguf');
  for (const bytes of ['', 'GGUF', 'not a model at all, but long enough to be one']) {
    writeFileSync(path, bytes);
    await expect(checkModelFiles(path)).rejects.toMatchObject({ code: 'MODEL_INVALID' });
  }
});

it('a folder needs its configuration, all of its weights and a tokenizer', async () => {
  const told = (what: string) => ({ code: 'MODEL_INVALID', message: expect.stringContaining(what) });
  await expect(checkModelFiles(folder)).rejects.toMatchObject(told('config.json'));
  writeFileSync(join(folder, 'config.json'), '{}');
  await expect(checkModelFiles(folder)).rejects.toMatchObject(told('no .safetensors file'));
  writeFileSync(join(folder, 'a.safetensors'), '');
  await expect(checkModelFiles(folder)).rejects.toMatchObject(told('tokenizer.json'));
  const index = { weight_map: { x: 'a.safetensors', y: 'b.safetensors' } };
  writeFileSync(join(folder, 'model.safetensors.index.json'), JSON.stringify(index));
  await expect(checkModelFiles(folder)).rejects.toMatchObject(told('b.safetensors'));
});

it('the doctor looks into it', async () => {
  const path = join(folder, 'model.gguf');
  writeFileSync(path, 'hello');
  let out = '';
  const write = (text: string) => (out += text);
  const code = await run(['doctor', '--model', path], { stdout: { write }, stderr: { write } });
  expect(code).toBe(1);
  expect(out).toMatch(/BROKEN +model /);
  out = '';
  await run(['doctor', '--model', fixture], { stdout: { write }, stderr: { write } });
  expect(out).toMatch(/ok +model .*tiny-llama/);
});
