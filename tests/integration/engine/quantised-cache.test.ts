/** Keys and values of 8 bits and 4, on the default model: fewer bytes, and texts as likely as with 16, or nearly. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { defaultModel } from '../../../ts/engine/models/known-models.js';
import type { EngineOptions } from '../../../ts/engine/types.js';
import { fixture, load } from './engines.js';

const { windows } = JSON.parse(readFileSync(fixture('golden/smollm2-perplexity.json'), 'utf8')) as {
  windows: { ids: number[] }[];
};

/** What the default model makes of the windows with a cache of so many bits. */
async function measure(numerics: 'fast' | 'exact', kvBits: 16 | 8 | 4) {
  const options: EngineOptions = { numerics, kvBits, threads: 0, blockTokens: 64, cacheBudgetMb: 128 };
  const engine = await load(defaultModel, options);
  const nlls: number[] = [];
  for (const { ids } of windows) {
    const { logprobs } = await engine.score(ids);
    nlls.push(...[...logprobs].map((logprob) => -logprob));
  }
  const perplexity = Math.exp(nlls.reduce((total, nll) => total + nll, 0) / nlls.length);
  const [group] = (await engine.stats()).pool;
  const { info } = engine;
  await engine.close();
  return { perplexity, blockBytes: group?.blockBytes ?? 0, info };
}

describe.each(['fast', 'exact'] as const)('a cache of codes, numerics %s', (numerics) => {
  it('takes half the bytes or little more than a quarter, and finds texts about as likely as one of 16 does', async () => {
    const halves = await measure(numerics, 16);
    const codes = await measure(numerics, 8);
    const small = await measure(numerics, 4);
    expect(halves.info.kvBits).toBe(16);
    expect(codes.info.kvBits).toBe(8);
    expect(halves.info.executor.numerics).toMatch(/-kv-f16$/);
    expect(codes.info.executor.numerics).toMatch(/-kv-q8$/);
    expect(small.info.executor.numerics).toMatch(/-kv-q4$/);
    // 64 codes and a scale of 2 bytes against 64 elements of 2.
    expect(codes.blockBytes / halves.blockBytes).toBe(66 / 128);
    // 32 bytes of codes, a scale and a bias.
    expect(small.blockBytes / halves.blockBytes).toBe(36 / 128);
    expect(codes.perplexity).not.toBe(halves.perplexity);
    // Measured: 0.08 % more with fast numerics, 0.3 % with exact ones.
    expect(Math.abs(codes.perplexity / halves.perplexity - 1)).toBeLessThan(0.01);
    // Measured: 4.1 % more with fast numerics, 4.5 % with exact ones; without spread keys it were 10 %.
    expect(Math.abs(small.perplexity / halves.perplexity - 1)).toBeLessThan(0.06);
  }, 600_000);
});
