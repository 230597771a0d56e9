/** A step that takes too long, on the core's own thread: it is told of, and nothing is lost. */
import { expect, it } from 'vitest';
import { defaultModel } from '../../../ts/engine/models/known-models.js';
import type { StompError } from '../../../ts/errors.js';
import { load, promptIds } from './engines.js';

it('a step that takes too long is told of once, with what to do, and its answer comes all the same', async () => {
  const warnings: StompError[] = [];
  const onWarning = (warning: StompError) => warnings.push(warning);
  // A whole prompt in one step takes seconds, a token of the answer a fraction of the limit.
  const engine = await load(defaultModel, {
    prefillStepTokens: 1024,
    watchdogMs: 1000,
    cacheBudgetMb: 256,
    onWarning,
  });
  const generation = engine.complete(promptIds(1024), { maxTokens: 4, ignoreEos: true });
  await expect.poll(() => warnings.length, { timeout: 60_000 }).toBe(1);
  expect(engine.stalledMs).toBeGreaterThan(1000);
  expect((await generation.result).tokens).toHaveLength(4);
  await expect.poll(() => engine.stalledMs).toBe(0);
  expect(warnings).toEqual([
    expect.objectContaining({
      code: 'ENGINE_STALLED',
      message: expect.stringMatching(/Restart the process .* or raise --watchdog-seconds/) as string,
    }),
  ]);
  expect((await engine.complete(promptIds(8), { maxTokens: 4, ignoreEos: true }).result).tokens).toHaveLength(
    4,
  );
});
