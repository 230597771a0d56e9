/** Agents on disk: a folder that has moved, what agents share there, and what a budget leaves of those used long ago. */
import { cpSync, readdirSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { Engine } from '../../../ts/engine/engine.js';
import { load, temporaryFolder } from './engines.js';

const options = { maxTokens: 6, ignoreEos: true } as const;

/** A prompt of so many tokens, none of them a marker. */
const prompt = (length: number, seed = 0) =>
  Array.from({ length }, (_, i) => 20 + ((i * 37 + i * i * 11 + seed * 101) % 480));

const answer = (engine: Engine, id: string, ids: readonly number[]) =>
  engine.agent(id).generate(ids, options).result;

function bytesBelow(folder: string): number {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((file) => file.isFile());
  return files.reduce((sum, file) => sum + statSync(join(file.parentPath, file.name)).size, 0);
}

describe('agents on disk', () => {
  it('go on from a copy of the folder, elsewhere and under another name', async () => {
    const cacheDir = temporaryFolder();
    const first = await load(undefined, { cacheDir, numerics: 'exact' });
    const parent = prompt(200);
    await answer(first, 'parent', parent);
    await first.agent('parent').fork('child');
    const child = [...parent, ...prompt(40, 3)];
    const said = await answer(first, 'child', child);
    await first.close();

    const elsewhere = join(temporaryFolder(), 'a copy', 'of it');
    cpSync(cacheDir, elsewhere, { recursive: true, preserveTimestamps: false });
    renameSync(cacheDir, `${cacheDir}-gone`);
    const second = await load(undefined, { cacheDir: elsewhere, numerics: 'exact' });
    const longer = [...child, ...said.tokens, ...prompt(10, 4)];
    const restored = await answer(second, 'child', longer);
    expect(restored.usage.restoredTokens).toBe(245);
    const cold = await answer(await load(undefined, { numerics: 'exact' }), 'x', longer);
    expect(restored.tokens).toEqual(cold.tokens);
    renameSync(`${cacheDir}-gone`, cacheDir);
  });

  it('keep a common beginning once', async () => {
    const cacheDir = temporaryFolder();
    const engine = await load(undefined, { cacheDir });
    const parent = prompt(400);
    await answer(engine, 'parent', parent);
    const ids = Array.from({ length: 8 }, (_, i) => `child${i}`);
    for (const id of ids) {
      await engine.agent('parent').fork(id);
      await answer(engine, id, [...parent, ...prompt(20, id.charCodeAt(5))]);
    }
    await Promise.all(ids.map((id) => engine.agent(id).save()));
    await engine.agent('parent').save();
    const { diskBytes, diskSharedBytes, pool } = await engine.stats();
    const tokenBytes = (pool[0]?.blockBytes ?? 0) / 16;
    expect(diskBytes).toBe(bytesBelow(cacheDir) - statSync(join(cacheDir, '.lock')).size);
    expect(diskSharedBytes).toBeGreaterThan(7 * 384 * tokenBytes);
    // Nine caches of some 420 tokens, of which 400 are shared: headers are most of the rest.
    expect(diskBytes).toBeLessThan((400 + 9 * 42) * tokenBytes + 9 * 40_000);
    await engine.close();
    const again = await load(undefined, { cacheDir });
    const { usage } = await answer(again, 'child5', [...parent, ...prompt(20, 53), ...prompt(9, 8)]);
    expect(usage.restoredTokens).toBeGreaterThan(410);
  });

  it('go cold beyond the budget, and say so when they are asked again', async () => {
    const cacheDir = temporaryFolder();
    const engine = await load(undefined, { cacheDir, diskBudgetMb: 1, maxAgentsInMemory: 1 });
    const bytes = (await engine.stats()).pool[0]?.blockBytes ?? 0;
    const most = Math.ceil(2 ** 20 / ((bytes * 400) / 16)) + 3;
    for (let i = 0; i < most; i++) {
      await engine.agent(`a${i}`).chat(`Remember the number ${i}. ${'word '.repeat(60)}`, options).result;
      await answer(engine, `b${i}`, prompt(400, i));
      await engine.agent(`b${i}`).evict();
      await setTimeout(5);
    }
    let infos = await engine.agents();
    for (let i = 0; i < 400 && !infos.some(({ tier }) => tier === 'cold'); i++) {
      await setTimeout(10);
      infos = await engine.agents();
    }
    const first = infos.find(({ id }) => id === 'b0');
    expect(first?.tier).toBe('cold');
    expect(infos.find(({ id }) => id === `b${most - 1}`)?.tier).toBe('warm');
    await engine.clearCaches(); // else the pool may still know the prompt
    const { usage } = await answer(engine, 'b0', prompt(400, 0));
    expect(usage.cachedTokens).toBe(0);
    expect(usage.missReason).toMatch(/room on the disk/);
    expect(bytesBelow(cacheDir)).toBeLessThan(2 * 2 ** 20);
  });
});
