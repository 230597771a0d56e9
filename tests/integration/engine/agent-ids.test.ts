/** Which agents there are, by the names of their files: what the engine itself would say. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { load, temporaryFolder, tinyModel } from './engines.js';

const ids = [
  'a',
  'A',
  'Agent',
  'aGeNT.b-C_9',
  'ZZZZZ',
  `x${'Y'.repeat(127)}`,
  '0123456789abcdef-0123456789abcdef',
];

describe('the names of agents', () => {
  it('are those on disk after a restart, whatever else lies there', async () => {
    const cacheDir = temporaryFolder();
    const before = await load(tinyModel, { cacheDir });
    for (const id of ids) await before.create(id);
    await before.close();
    const after = await load(tinyModel, { cacheDir });
    const folder = join(cacheDir, after.info.fingerprint);
    for (const name of ['b.safetensors.corrupt', 'c.safetensors.1-2.tmp', 'D.safetensors', '.e.safetensors'])
      writeFileSync(join(folder, name), '');
    expect((await after.agentIds()).sort()).toEqual([...ids].sort());
    expect((await after.agentIds('0123456789abcdef')).sort()).toEqual([ids[6]]);
    expect((await after.agents()).map(({ id }) => id).sort()).toEqual([...ids].sort());
  });

  it('are those of conversations that are not on disk yet, or never will be', async () => {
    const inMemory = await load(tinyModel);
    await inMemory.create('ann', [{ role: 'user', content: 'hi' }]);
    expect(await inMemory.agentIds('a')).toEqual(['ann']);
    const onDisk = await load(tinyModel, { cacheDir: temporaryFolder() });
    await onDisk.agent('bob').transcript();
    await onDisk.create('ann', [{ role: 'user', content: 'hi' }]);
    expect(await onDisk.agentIds()).toEqual(['ann']);
  });

  it('are told when somebody has deleted the folder meanwhile', async () => {
    const cacheDir = temporaryFolder();
    const engine = await load(tinyModel, { cacheDir });
    await engine.create('ann', [{ role: 'user', content: 'hi' }]);
    const folder = join(cacheDir, engine.info.fingerprint);
    rmSync(folder, { recursive: true });
    expect(await engine.agentIds()).toEqual(['ann']);
    mkdirSync(folder);
  });
});
