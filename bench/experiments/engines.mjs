// Engines of the experiments, and what they are asked.
import { fileURLToPath } from 'node:url';
import { Engine } from '../../dist/index.js';
import { prompts } from '../workload.mjs';

export const fixtures = fileURLToPath(new URL('../../tests/fixtures/models/', import.meta.url));

/** Room for every conversation of an experiment at once. */
const budgetMb = 2048;

/**
 * Loads a model, works with it and closes it.
 * @param {(engine: Engine, take: (tokens: number, salt: number) => number[]) => Promise<T>} work take: a prompt of so
 *   many tokens; different salts begin differently
 * @returns {Promise<T>}
 * @template T
 */
export async function withEngine(model, options, work) {
  const engine = await Engine.load(model, {
    executor: 'cpu',
    cacheDir: null,
    cacheBudgetMb: budgetMb,
    ...options,
  });
  try {
    const { take } = await prompts((text) => engine.tokenizer.encode(text));
    return await work(engine, take);
  } finally {
    await engine.close();
  }
}

/** An answer of exactly so many tokens, always the same. */
export const greedy = (maxTokens) => ({ maxTokens, ignoreEos: true, temperature: 0 });

/** One turn of an agent, whose whole conversation the prompt is. */
export const answer = (engine, id, prompt, maxTokens, more = {}) =>
  engine.agent(id).generate(prompt, { ...greedy(maxTokens), ...more }).result;

/** Bytes that a token takes in the cache of all layers. */
export async function bytesPerToken(engine) {
  const { pool, blockTokens } = await engine.stats();
  return pool.reduce((sum, { blockBytes }) => sum + blockBytes, 0) / blockTokens;
}

/** Milliseconds that `work` takes. */
export async function timeOf(work) {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

export const indices = (n) => Array.from({ length: n }, (_, i) => i);
