/** The CPU executor against the reference implementation (mlx-lm in f32), on the default model. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Engine } from '../../../ts/engine/engine.js';
import { defaultModel } from '../../../ts/engine/models/known-models.js';
import { fixture } from './engines.js';

interface Golden {
  prompts: { name: string; ids: number[]; tokens: number[]; margins: number[] }[];
}

const golden = JSON.parse(readFileSync(fixture('golden/smollm2-greedy.json'), 'utf8')) as Golden;
const greedy = { maxTokens: 64, ignoreEos: true, temperature: 0 };
// Logits agree to within this; a smaller margin between the two best tokens may fall either way.
const nearTie = 0.05;
let engine: Engine;

beforeAll(async () => {
  engine = await Engine.load(defaultModel, { cacheDir: null, cacheBudgetMb: 512, executor: 'cpu' });
}, 600_000);

afterAll(() => engine?.close());

describe('the CPU executor', () => {
  it('says what the reference says, and parts from it at near ties only', async () => {
    const results = await Promise.all(golden.prompts.map(({ ids }) => engine.complete(ids, greedy).result));
    let equal = 0;
    for (const [i, { name, tokens, margins }] of golden.prompts.entries()) {
      const mine = results[i]?.tokens ?? [];
      const parts = tokens.findIndex((token, k) => mine[k] !== token);
      if (parts < 0) equal++;
      else expect(margins[parts], `${name}, token ${parts}`).toBeLessThan(nearTie);
    }
    expect(equal).toBeGreaterThanOrEqual(golden.prompts.length - 2);
  });

  it('gives eight agents at once exactly what each gets alone', async () => {
    const prompts = golden.prompts.slice(0, 8).map(({ ids }) => ids);
    const salted = (salt: string) => ({ ...greedy, maxTokens: 24, cacheSalt: salt });
    const together = await Promise.all(prompts.map((ids) => engine.complete(ids, salted('together')).result));
    for (const [i, ids] of prompts.entries()) {
      const alone = await engine.complete(ids, salted(`alone ${i}`)).result;
      expect(alone.usage.cachedTokens).toBe(0);
      expect(together[i]?.tokens).toEqual(alone.tokens);
    }
  });

  it('needs little memory beside weights and pool', async () => {
    const { memory, pool } = await engine.stats();
    // Of the pool, only blocks that were ever used are resident.
    const touched = pool.reduce((sum, group) => sum + (group.capacity - group.free) * group.blockBytes, 0);
    const beside = process.memoryUsage().rss - memory.weightsBytes - touched;
    expect(beside).toBeGreaterThan(0);
    expect(beside).toBeLessThan(300 * 2 ** 20);
  });
});
