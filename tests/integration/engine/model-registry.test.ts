/** Two real models that take each other's place, with their agents on disk. */
import { afterEach, describe, expect, it } from 'vitest';
import { ModelRegistry } from '../../../ts/engine/model-registry.js';
import type { EngineOptions, GenerateOptions, GenerationResult } from '../../../ts/engine/types.js';
import { fixture, load, promptIds, temporaryFolder, tinyModel } from './engines.js';

const other = fixture('models/tiny-llama3-rope-bf16');
/** Of another family: most of its layers see a window of 20 tokens. */
const windowed = fixture('models/tiny-gemma3_text-bf16');
const text = 'The sea is calm tonight. The tide is full, the moon lies fair upon the straits. ';

const small = {
  executor: 'cpu',
  threads: 1,
  blockTokens: 16,
  cacheBudgetMb: 16,
  numerics: 'exact',
} satisfies EngineOptions;

const registries: ModelRegistry[] = [];
afterEach(async () => {
  await Promise.all(registries.splice(0).map((registry) => registry.close()));
});

function open(): ModelRegistry {
  const registry = new ModelRegistry({ engine: { ...small, cacheDir: temporaryFolder() } });
  registries.push(registry);
  return registry;
}

type Prompt = string | readonly number[];

const short: GenerateOptions = { maxTokens: 8, ignoreEos: true };

async function turn(
  registry: ModelRegistry,
  agent: string,
  prompt: Prompt,
  options = short,
  onStart?: () => void,
): Promise<GenerationResult> {
  const lease = await registry.acquire();
  try {
    const generation = lease.engine.agent(agent).generate(prompt, options);
    if (onStart) generation.started.then(onStart, () => undefined);
    return await generation.result;
  } finally {
    lease.release();
  }
}

describe('from one model to another and back', () => {
  it('each finds the caches of its own agents again', async () => {
    const registry = open();
    await registry.load(tinyModel);
    const first = await turn(registry, 'ann', text);
    expect(first.usage.cachedTokens).toBe(0);

    const there = await registry.swap(other);
    expect(there).toMatchObject({ model: 'tiny-llama3-rope-bf16', changed: true, unsaved: undefined });
    const foreign = await turn(registry, 'ann', text);
    expect(foreign.usage.cachedTokens).toBe(0);

    const back = await registry.swap(tinyModel);
    expect(back).toMatchObject({ model: 'tiny-llama.Q8_0', previous: 'tiny-llama3-rope-bf16' });
    const again = await turn(registry, 'ann', text);
    expect(again.usage.restoredTokens).toBeGreaterThan(first.usage.promptTokens / 2);
    expect(again.text).toBe(first.text);

    await registry.swap(other);
    const foreignAgain = await turn(registry, 'ann', text);
    expect(foreignAgain.usage.restoredTokens).toBeGreaterThan(0);
    expect(foreignAgain.text).toBe(foreign.text);

    for (const { rssBytes, totalMs } of [there, back]) {
      expect(rssBytes.before).toBeGreaterThan(0);
      expect(rssBytes.between).toBeGreaterThan(0);
      expect(totalMs).toBeGreaterThan(0);
      const mb = (bytes: number): string => `${Math.round(bytes / 2 ** 20)} MB`;
      console.info(
        `memory before ${mb(rssBytes.before)}, between ${mb(rssBytes.between)}, after ${mb(rssBytes.after)}`,
      );
    }
  });

  it('an answer that runs is finished by the model that began it', async () => {
    const registry = open();
    await registry.load(tinyModel);
    const lease = await registry.acquire();
    const running = lease.engine.agent('ann').generate(text, { maxTokens: 200, ignoreEos: true });
    const swapping = registry.swap(other);
    const late = turn(registry, 'bob', text);
    const { tokens, finishReason } = await running.result;
    expect([tokens.length, finishReason]).toEqual([200, 'length']);
    lease.release();
    expect(await swapping).toMatchObject({ cancelledRequests: 0 });
    expect((await late).usage.generatedTokens).toBe(8);
    expect(registry.engine?.info.model).toBe(other);
  });

  it('a model that is none leaves the one before it at work, with its agents', async () => {
    const registry = open();
    await registry.load(tinyModel);
    const first = await turn(registry, 'ann', text);
    await expect(registry.swap('/nowhere/model.gguf')).rejects.toMatchObject({ code: 'MODEL_NOT_FOUND' });
    expect((await turn(registry, 'ann', text)).usage.ownTokens).toBeGreaterThan(0);
    await expect(registry.swap(import.meta.filename)).rejects.toMatchObject({
      code: 'MODEL_INVALID',
      fields: { restored: 'tiny-llama.Q8_0' },
    });
    const again = await turn(registry, 'ann', text);
    expect(again.usage.cachedTokens).toBeGreaterThan(0);
    expect(again.text).toBe(first.text);
  });
});

describe('swaps between two families while twelve agents answer', () => {
  const long: GenerateOptions = { maxTokens: 160, ignoreEos: true };
  const latePrompts = [promptIds(40, 50), promptIds(40, 51)];

  /** Begins a turn of an agent for each prompt, and swaps once the first has its place in the batch. */
  async function swapAmidst(registry: ModelRegistry, next: string, prompts: readonly (readonly number[])[]) {
    const running: number[] = [];
    const late: Promise<GenerationResult>[] = [];
    // One request comes while the answers end, another one while the next model loads.
    const end = registry.subscribe((event) => {
      if (event.type !== 'state' || event.status.state === 'ready') return;
      running.push(event.status.requests);
      late.push(turn(registry, `late-${late.length}`, latePrompts[late.length] ?? []));
    });
    const turns: Promise<GenerationResult>[] = [];
    const started = prompts.map(
      (prompt, i) =>
        new Promise<void>((tell) => turns.push(turn(registry, `agent-${i}`, prompt, long, tell))),
    );
    await Promise.race(started);
    expect(registry.current().requests).toBe(prompts.length);
    const change = await registry.swap(next);
    end();
    return { change, running, answers: await Promise.all(turns), late: await Promise.all(late) };
  }

  /** What an engine that knows nothing answers to each alone. */
  async function saidAfresh(
    model: string,
    prompts: readonly (readonly number[])[],
    options: GenerateOptions,
  ): Promise<number[][]> {
    const engine = await load(model, small);
    const said: number[][] = [];
    for (const prompt of prompts) said.push((await engine.complete(prompt, options).result).tokens);
    return said;
  }

  const tokensOf = (results: readonly GenerationResult[]) => results.map(({ tokens }) => tokens);

  it('lose no turn, and every agent finds its cache again', async () => {
    const registry = open();
    await registry.load(tinyModel);
    const opening = Array.from({ length: 12 }, (_, i) => promptIds(50 + i, i));
    const prompts = { [tinyModel]: opening, [windowed]: opening };
    const computed = { [tinyModel]: opening.map(() => 0), [windowed]: opening.map(() => 0) };
    for (const [model, next] of [
      [tinyModel, windowed],
      [windowed, tinyModel],
      [tinyModel, windowed],
      [windowed, tinyModel],
    ] as const) {
      const asked = prompts[model] ?? [];
      const { change, running, answers, late } = await swapAmidst(registry, next, asked);
      expect(change).toMatchObject({ changed: true, cancelledRequests: 0, unsaved: undefined });
      expect(running).toEqual([expect.toSatisfy((requests) => requests > 0), 0]);
      expect(tokensOf(answers)).toEqual(await saidAfresh(model, asked, long));
      expect(tokensOf(late)).toEqual(await saidAfresh(next, latePrompts, short));
      expect(answers.map(({ usage }) => usage.restoredTokens)).toEqual(computed[model]);
      // The last token of an answer is not computed before the next turn.
      computed[model] = asked.map(({ length }) => length + 159);
      prompts[model] = asked.map((ids, i) => [...ids, ...(answers[i]?.tokens ?? []), ...promptIds(10, 80)]);
    }
  });
});
