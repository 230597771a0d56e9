/** Where agents' caches are: in memory, on disk, given up; and what they share there. */
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Engine } from '../../../ts/engine/engine.js';
import type { EngineOptions } from '../../../ts/engine/types.js';
import { load, promptIds, temporaryFolder, tinyModel } from './engines.js';

const answerOptions = { maxTokens: 8, ignoreEos: true } as const;

const open = (cacheDir: string, options: EngineOptions = {}) =>
  load(tinyModel, { numerics: 'exact', cacheDir, ...options });

async function answer(engine: Engine, id: string, ids: readonly number[]) {
  return engine.agent(id).generate(ids, answerOptions).result;
}

/** The one model's folder. */
function modelFolder(cacheDir: string): string {
  const [name = ''] = readdirSync(cacheDir).filter((entry) => statSync(join(cacheDir, entry)).isDirectory());
  return join(cacheDir, name);
}

/** A family that begins alike, saved. */
async function saveFamily(cacheDir: string): Promise<void> {
  const engine = await open(cacheDir);
  await answer(engine, 'parent', promptIds(200));
  for (const id of ['a', 'b']) {
    await engine.agent('parent').fork(id);
    await answer(engine, id, [...promptIds(200), ...promptIds(20, id.charCodeAt(0))]);
  }
  await engine.close();
}

describe('agents on disk', () => {
  it('keep what they share once, and the figures say so', async () => {
    const cacheDir = temporaryFolder();
    await saveFamily(cacheDir);
    const shared = readdirSync(join(modelFolder(cacheDir), 'shared'));
    expect(shared).toHaveLength(1);
    const engine = await open(cacheDir);
    const stats = await engine.stats();
    const segment = statSync(join(modelFolder(cacheDir), 'shared', shared[0] ?? '')).size;
    // The parent may have been saved before anybody shared its beginning.
    expect([segment, 2 * segment]).toContain(stats.diskSharedBytes);
    expect(stats.diskBytes).toBeGreaterThan(segment);
    const ids = [...promptIds(200), ...promptIds(20, 'b'.charCodeAt(0))];
    expect((await answer(engine, 'b', ids)).usage.restoredTokens).toBe(219);
  });

  it('go on from a copy of their folder, whatever its path, its inodes and its times', async () => {
    const cacheDir = temporaryFolder();
    await saveFamily(cacheDir);
    const copy = join(temporaryFolder(), 'elsewhere', 'caches');
    cpSync(cacheDir, copy, { recursive: true });
    for (const name of readdirSync(copy, { recursive: true, encoding: 'utf8' }))
      utimesSync(join(copy, name), 1, 1);
    const [left, taken] = [await open(cacheDir), await open(copy)];
    const ids = [...promptIds(200), ...promptIds(20, 'a'.charCodeAt(0)), 30, 31];
    const [here, there] = [await answer(left, 'a', ids), await answer(taken, 'a', ids)];
    expect(there.usage.restoredTokens).toBeGreaterThanOrEqual(220);
    expect(there.tokens).toEqual(here.tokens);
  });

  it('start cold and say why when their file is damaged, though a list had come upon it before', async () => {
    const cacheDir = temporaryFolder();
    await saveFamily(cacheDir);
    const file = join(modelFolder(cacheDir), 'a.safetensors');
    truncateSync(file, 1000);
    const warnings: string[] = [];
    const engine = await open(cacheDir, { onWarning: ({ code }) => warnings.push(code) });
    expect((await engine.agents()).map(({ id }) => id)).toContain('a');
    const { usage } = await answer(engine, 'a', promptIds(20));
    expect(usage.missReason).toContain('was set aside');
    expect(warnings).toEqual(['CACHE_CORRUPT']);
    expect(existsSync(`${file}.corrupt`)).toBe(true);
  });

  it('keep within their budget: files set aside go first, then caches, never transcripts', async () => {
    const cacheDir = temporaryFolder();
    const first = await open(cacheDir);
    await answer(first, 'old', promptIds(300));
    await first.close();
    const folder = modelFolder(cacheDir);
    const aside = join(folder, 'x.safetensors.corrupt');
    writeFileSync(aside, Buffer.alloc(2 << 20));
    const unlimited = await open(cacheDir, { diskBudgetMb: 0 });
    await answer(unlimited, 'new', promptIds(20));
    await unlimited.close();
    expect(existsSync(aside)).toBe(true);

    const limited = await open(cacheDir, { diskBudgetMb: 1 });
    await answer(limited, 'new', promptIds(30));
    await limited.agent('new').save();
    await expect.poll(() => existsSync(aside)).toBe(false);
    expect(await limited.agent('old').info()).toMatchObject({ tier: 'warm' });
    await limited.close();

    // What another model's agents take counts as well: here a file that only looks like one.
    mkdirSync(join(cacheDir, 'other'));
    writeFileSync(join(cacheDir, 'other', 'y.safetensors'), Buffer.alloc(2 << 20));
    const full = await open(cacheDir, { diskBudgetMb: 1 });
    await answer(full, 'new', promptIds(40));
    await full.agent('new').save();
    await expect.poll(async () => (await full.agent('old').info())?.tier).toBe('cold');
    // The other model's file alone is beyond the budget: the newer one may have gone as well by now.
    expect((await full.stats()).demotions).toBeGreaterThanOrEqual(1);
    const again = await answer(full, 'old', promptIds(300));
    expect(again.usage).toMatchObject({
      restoredTokens: 0,
      missReason: expect.stringContaining('room on the disk'),
    });
  });
});
