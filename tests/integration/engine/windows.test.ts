/**
 * Models whose layers see a window: two layers of six see everything, the others the last 20 tokens. What has passed
 * is given back, and an agent goes on after a fork, a restart or an eviction as if nothing had happened.
 */
import { describe, expect, it } from 'vitest';
import type { Engine } from '../../../ts/engine/engine.js';
import type { EngineOptions } from '../../../ts/engine/types.js';
import { fixture, load, promptIds, temporaryFolder } from './engines.js';

const model = fixture('models/tiny-gemma3_text-bf16');
const options = { maxTokens: 12, ignoreEos: true } as const;

const open = (changes: EngineOptions = {}) => load(model, { numerics: 'exact', ...changes });

async function answer(engine: Engine, id: string, ids: readonly number[]) {
  return engine.agent(id).generate(ids, options).result;
}

const used = async (engine: Engine) =>
  (await engine.stats()).pool.map(({ capacity, free, cached }) => capacity - free - cached);

describe.each(['cpu', 'mlx'] as const)('windows on the %s executor', (executor) => {
  it('hold their tokens and no more', async () => {
    const engine = await open({ executor });
    await answer(engine, 'a', promptIds(400));
    const [global, sliding] = await used(engine);
    expect(global).toBe(Math.ceil(411 / 16)); // the last token was not computed
    expect(sliding).toBeLessThanOrEqual(Math.ceil(20 / 16) + 1);
  });

  it('serve prompts longer than a group of them has room for', async () => {
    const engine = await open({ executor, cacheBudgetMb: 1, prefillStepTokens: 32, maxContext: 500 });
    const [global, sliding] = (await engine.stats()).pool;
    expect(sliding?.capacity).toBeLessThan(global?.capacity ?? 0);
    const long = promptIds(440);
    const alone = await answer(engine, 'a', long);
    const all = await Promise.all(
      ['b', 'c', 'd', 'e', 'f', 'g'].map((id, i) => answer(engine, id, promptIds(440, i))),
    );
    expect(all[0]?.tokens).toEqual(alone.tokens);
  });

  it('go on after an eviction, in another process, and in a fork, as if computed at once', async () => {
    const cacheDir = temporaryFolder();
    const first = await open({ executor, cacheDir });
    const ids = promptIds(120);
    const begun = await answer(first, 'a', ids);
    const longer = [...ids, ...begun.tokens, ...promptIds(30, 5)];
    await first.agent('a').evict();
    await first.agent('a').fork('b');
    const forked = await answer(first, 'b', longer);
    await first.close();

    const second = await open({ executor, cacheDir });
    const restored = await answer(second, 'a', longer);
    expect(restored.usage.restoredTokens).toBe(131);

    const cold = await answer(await open({ executor }), 'cold', longer);
    expect(forked.tokens).toEqual(cold.tokens);
    expect(restored.tokens).toEqual(cold.tokens);
  });

  it('say why a shorter prompt finds nothing', async () => {
    const engine = await open({ executor, cacheDir: temporaryFolder() });
    const ids = promptIds(200);
    await answer(engine, 'a', ids);
    await engine.agent('a').evict();
    await engine.clearCaches();
    const other = await answer(engine, 'a', [...ids.slice(0, 60), ...promptIds(20, 9)]);
    expect(other.usage.cachedTokens).toBe(0);
    expect(other.usage.missReason).toMatch(/at token 60.*sliding windows have passed/);
    const cold = await answer(await open({ executor }), 'x', [...ids.slice(0, 60), ...promptIds(20, 9)]);
    expect(other.tokens).toEqual(cold.tokens);
  });
});
