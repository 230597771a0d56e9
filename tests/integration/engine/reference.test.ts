/**
 * The CPU executor against the reference implementation (mlx-lm in f32), on the default model.
 *
 * Activations are int8 for answers and bf16 or int8 for prompts, so texts of 64 greedy tokens may part from the
 * reference's. What is promised: a text is as likely as the reference finds it, token by token, and wherever the
 * reference has gone, the executor goes on as it does unless two tokens are nearly as likely.
 */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Engine } from '../../../ts/engine/engine.js';
import { defaultModel } from '../../../ts/engine/models/known-models.js';
import { fixture } from './engines.js';

interface Golden {
  prompts: { name: string; ids: number[]; tokens: number[]; margins: number[] }[];
}

interface Perplexity {
  perplexity: number;
  scored_tokens: number;
  windows: { ids: number[]; nll: number; token_nlls: number[] }[];
}

function read<T>(name: string): T {
  return JSON.parse(readFileSync(fixture(name), 'utf8')) as T;
}

const golden = read<Golden>('golden/smollm2-greedy.json');
const perplexity = read<Perplexity>('golden/smollm2-perplexity.json');
const greedy = { ignoreEos: true, temperature: 0 };

/**
 * By numerics id, each less than twice what was measured. Errors of log-probabilities: their root mean square over
 * the tokens, and the mean of any window of 511. A tie is near when its margin could be the difference of two logits'
 * errors, a few times that root mean square; so many of 896 tokens may differ.
 */
const promises: Record<string, { token: number; window: number; tie: number; differ: number }> = {
  // Prompts in bf16, answers in int8. Measured: 0.044, 0.0054, 0.17, 12.
  'cpu-int8-bf16-v1-kv-f16': { token: 0.08, window: 0.01, tie: 0.33, differ: 20 },
  // All in int8. Measured: 0.079, 0.0100, 0.30, 13.
  'cpu-int8-v1-kv-f16': { token: 0.15, window: 0.019, tie: 0.5, differ: 22 },
};

const sum = (numbers: number[]) => numbers.reduce((total, number) => total + number, 0);

describe.each(['fast', 'exact'] as const)('the CPU executor, numerics %s', (numerics) => {
  let engine: Engine;

  beforeAll(async () => {
    const options = { cacheDir: null, cacheBudgetMb: 512, executor: 'cpu', numerics } as const;
    engine = await Engine.load(defaultModel, options);
  }, 600_000);

  afterAll(() => engine?.close());

  const promise = () => {
    const id = engine.info.executor.numerics;
    const promised = promises[id];
    if (!promised) throw new Error(`nothing is promised of ${id}`);
    return promised;
  };

  it('is exact when told to', () => {
    const { numerics: id, isa } = engine.info.executor;
    const matrixUnits = numerics === 'fast' && isa === 'amx';
    expect(id).toBe(matrixUnits ? 'cpu-int8-bf16-v1-kv-f16' : 'cpu-int8-v1-kv-f16');
  });

  it('finds a text as likely as the reference does, as a whole and token by token', async () => {
    const squares: number[] = [];
    const nlls: number[] = [];
    for (const { ids, nll, token_nlls } of perplexity.windows) {
      const { logprobs } = await engine.score(ids);
      const own = [...logprobs].map((logprob) => -logprob);
      expect(own).toHaveLength(token_nlls.length);
      const mean = sum(own) / own.length;
      expect(Math.abs(mean - nll)).toBeLessThan(promise().window);
      squares.push(...own.map((value, i) => (value - (token_nlls[i] ?? Number.NaN)) ** 2));
      nlls.push(...own);
    }
    expect(nlls).toHaveLength(perplexity.scored_tokens);
    const own = Math.exp(sum(nlls) / nlls.length);
    expect(Math.abs(own / perplexity.perplexity - 1)).toBeLessThan(0.005);
    expect(Math.sqrt(sum(squares) / squares.length)).toBeLessThan(promise().token);
  });

  it('goes on from wherever the reference is as the reference does, but at near ties', async () => {
    // Four tokens from every fourth: the first is the prompt's, the others are the answer's.
    const stretch = 4;
    const differ = await Promise.all(
      golden.prompts.flatMap(({ name, ids, tokens, margins }) =>
        Array.from({ length: tokens.length / stretch }, async (_, i) => {
          const from = i * stretch;
          const options = { ...greedy, maxTokens: stretch };
          const result = await engine.complete([...ids, ...tokens.slice(0, from)], options).result;
          expect(result.tokens).toHaveLength(stretch);
          // After the first difference the rest cannot be compared.
          const parts = result.tokens.findIndex((token, k) => token !== tokens[from + k]);
          if (parts < 0) return 0;
          expect(margins[from + parts], `${name}, token ${from + parts}`).toBeLessThan(promise().tie);
          return 1;
        }),
      ),
    );
    expect(differ).toHaveLength(golden.prompts.length * 16);
    expect(sum(differ)).toBeLessThanOrEqual(promise().differ);
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
