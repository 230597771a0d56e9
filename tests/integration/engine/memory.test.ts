/** What an engine leaves behind when it is closed; docs/experiments.md has figures, experiment 011. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { results } from '../../../bench/child.mjs';
import { defaultModel } from '../../../ts/engine/models/known-models.js';
import { fixture, load, temporaryFolder } from './engines.js';

const windowed = fixture('models/tiny-gemma3_text-bf16');

/** MB of this process after a model has served three prompts on MLX and is gone. */
async function residentAfter(model: string): Promise<number> {
  const engine = await load(model, { executor: 'mlx', blockTokens: 64, cacheBudgetMb: 256 });
  const prompt = (n: number) => Array.from({ length: 24 }, (_, i) => 100 + n * 50 + i);
  await Promise.all(
    [1, 2, 3].map((n) => engine.complete(prompt(n), { maxTokens: 2, ignoreEos: true }).result),
  );
  await engine.close();
  return process.memoryUsage.rss() / 2 ** 20;
}

describe('models that take turns', () => {
  // The default model is 97 MB and its cache 256; JavaScript's own heap moves by some 40.
  it('do not leave more behind each time', async () => {
    const left: number[] = [];
    for (let round = 0; round < 3; round++) {
      left.push(await residentAfter(defaultModel));
      await residentAfter(windowed);
    }
    const [first = 0, , third = Number.NaN] = left;
    expect(third).toBeLessThan(first + 100);
  });

  it('take no more memory after swaps than after a cold start', async () => {
    const task = { model: defaultModel, other: windowed, rounds: 3, cacheDir: temporaryFolder() };
    const script = join(import.meta.dirname, 'swapping.mjs');
    const options = { cwd: import.meta.dirname, timeoutMs: 100_000 };
    const [found] = await results(process.execPath, [script, JSON.stringify(task)], options);
    const [cold, ...later] = (found as { served: number[] }).served;
    expect(later).toHaveLength(2);
    expect(Math.max(...later)).toBeLessThan(1.05 * (cold ?? 0));
  });
});
