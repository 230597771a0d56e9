/** Two real models that take each other's place, with their agents on disk. */
import { afterEach, describe, expect, it } from 'vitest';
import { ModelRegistry } from '../../../ts/engine/model-registry.js';
import { fixture, temporaryFolder, tinyModel } from './engines.js';

const other = fixture('models/tiny-llama3-rope-bf16');
const text = 'The sea is calm tonight. The tide is full, the moon lies fair upon the straits. ';

const registries: ModelRegistry[] = [];
afterEach(async () => {
  await Promise.all(registries.splice(0).map((registry) => registry.close()));
});

function open(): ModelRegistry {
  const engine = {
    executor: 'cpu',
    threads: 1,
    blockTokens: 16,
    cacheBudgetMb: 16,
    numerics: 'exact',
    cacheDir: temporaryFolder(),
  } as const;
  const registry = new ModelRegistry({ engine });
  registries.push(registry);
  return registry;
}

async function turn(registry: ModelRegistry, agent: string, prompt: string) {
  const lease = await registry.acquire();
  try {
    const result = await lease.engine.agent(agent).generate(prompt, { maxTokens: 8, ignoreEos: true }).result;
    return result;
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
