/** What an engine leaves behind when it is closed; docs/experiments.md has figures, experiment 011. */
import { describe, expect, it } from 'vitest';
import { defaultModel } from '../../../ts/engine/models/known-models.js';
import { fixture, load } from './engines.js';

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
      await residentAfter(fixture('models/tiny-gemma3_text-bf16'));
    }
    const [first = 0, , third = Number.NaN] = left;
    expect(third).toBeLessThan(first + 100);
  });
});
