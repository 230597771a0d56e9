/** What requests may ask of an answer besides its length, through the real core. */
import { describe, expect, it } from 'vitest';
import type { Engine } from '../../../ts/engine/engine.js';
import type { GenerateOptions, TokenLogprob } from '../../../ts/engine/types.js';
import { load, temporaryFolder } from './engines.js';

const answer = { maxTokens: 24, ignoreEos: true } as const;
const prompt = 'What is a tide mill?';

const complete = (engine: Engine, options: GenerateOptions = {}) =>
  engine.complete(prompt, { ...answer, ...options }).result;

describe('penalties and bias', () => {
  it('keep an answer from repeating itself', async () => {
    const engine = await load();
    const { tokens } = await complete(engine, { maxTokens: 60 });
    const varied = await complete(engine, { maxTokens: 60, frequencyPenalty: 2, presencePenalty: 2 });
    expect(new Set(varied.tokens).size).toBeGreaterThan(new Set(tokens).size);
    const repetition = await complete(engine, { maxTokens: 60, repetitionPenalty: 10 });
    expect(repetition.tokens).not.toEqual(tokens);
  });

  it('rule tokens out and prefer them, greedy and drawn', async () => {
    const engine = await load();
    const plain = await complete(engine, { maxTokens: 1 });
    const first = plain.tokens[0] ?? -1;
    for (const temperature of [0, 1]) {
      const without = await complete(engine, { temperature, seed: 1, logitBias: { [first]: -100 } });
      expect(without.tokens).not.toContain(first);
      const only = await complete(engine, { temperature, seed: 1, logitBias: { [first]: 100 } });
      expect(new Set(only.tokens)).toEqual(new Set([first]));
    }
  });

  it('leave an answer the same alone and in company', async () => {
    const engine = await load();
    const kinds: GenerateOptions[] = [
      { temperature: 1, seed: 3, presencePenalty: 1, topLogprobs: 2 },
      { frequencyPenalty: 1.5, logitBias: { 7: -100, 11: 2 } },
      { temperature: 0.8, topK: 30, seed: 4, repetitionPenalty: 1.3 },
      {},
    ];
    const alone = [];
    for (const options of kinds) alone.push((await complete(engine, options)).tokens);
    await engine.clearCaches();
    const company = await Promise.all(kinds.map((options) => complete(engine, options)));
    expect(company.map(({ tokens }) => tokens)).toEqual(alone);
  });
});

describe('log-probabilities', () => {
  it('are the model’s own, whatever the options make of them', async () => {
    const engine = await load(undefined, { numerics: 'exact' });
    const options = { topLogprobs: 3, logitBias: { 9: 4 }, temperature: 0.5, seed: 2 };
    const { tokens, logprobs } = await complete(engine, options);
    expect(logprobs.map(({ token }) => token)).toEqual(tokens);
    const asked = engine.tokenizer.encode(prompt, { bos: true });
    const scored = await engine.score([...asked, ...tokens]);
    const own = scored.logprobs.slice(asked.length - 1);
    for (const [i, one] of logprobs.entries()) {
      expect(one.logprob).toBeCloseTo(own[i] ?? Number.NaN, 3);
      expectLikeliest(one);
    }
  });

  function expectLikeliest({ token, logprob, top }: TokenLogprob): void {
    expect(top).toHaveLength(3);
    const values = top.map((one) => one.logprob);
    expect(values).toEqual([...values].sort((a, b) => b - a));
    expect(values.reduce((sum, value) => sum + Math.exp(value), 0)).toBeLessThanOrEqual(1 + 1e-5);
    const among = top.find((one) => one.token === token);
    if (among) expect(among.logprob).toBe(logprob);
    else expect(logprob).toBeLessThanOrEqual(values[2] ?? 0);
  }
});

describe('a scripted engine', () => {
  it('answers as the script says, through the model, in agents and without', async () => {
    const seen: string[] = [];
    const script = (text: string) => {
      seen.push(text);
      return text.includes('mill') ? 'A mill that the tide turns.' : undefined;
    };
    const engine = await load(undefined, { script });
    const turn = await engine.agent('ann').chat(prompt).result;
    expect(turn).toMatchObject({ text: 'A mill that the tide turns.', finishReason: 'stop' });
    expect(turn.usage.generatedTokens).toBe(turn.tokens.length);
    expect(seen[0]).toContain(prompt);
    const next = await engine.agent('ann').chat('And then?', answer).result;
    expect(next.text).toBe('A mill that the tide turns.'); // the prompt holds it still
    expect(next.usage.ownTokens).toBeGreaterThanOrEqual(turn.usage.promptTokens + turn.tokens.length - 1);
    const free = await engine.complete('Hello', answer).result;
    expect(free.tokens).toHaveLength(24);
  });
});

describe('an anonymous chat', () => {
  it('answers and leaves no agent behind', async () => {
    const engine = await load(undefined, { cacheDir: temporaryFolder() });
    const { text, agentId } = await engine.chat(prompt, answer).result;
    expect(agentId).toBe('');
    expect(await engine.agents()).toEqual([]);
    const named = await engine.agent('ann').chat([{ role: 'user', content: prompt }], answer).result;
    expect(named.text).toBe(text);
    expect(named.usage.sharedTokens).toBeGreaterThan(0);
  });

  it('knows what was cached of its prompt before it answers', async () => {
    const engine = await load();
    const first = engine.chat(prompt, answer);
    expect(await first.started).toEqual({ promptTokens: expect.any(Number), cachedTokens: 0 });
    const { usage } = await first.result;
    const second = engine.chat(prompt, answer);
    const { cachedTokens } = await second.started;
    expect(cachedTokens).toBe(usage.promptTokens - 1);
    expect((await second.result).usage.cachedTokens).toBe(cachedTokens);
  });
});

describe('settings of a running engine', () => {
  it('the seed makes drawn answers repeatable until it is taken back', async () => {
    const engine = await load();
    const drawn = async () => {
      const three = [];
      for (let i = 0; i < 3; i++) three.push((await complete(engine, { temperature: 1.5 })).tokens);
      return three;
    };
    engine.setSeed(5);
    const first = await drawn();
    engine.setSeed(5);
    expect(await drawn()).toEqual(first);
    expect(first[0]).not.toEqual(first[1]);
    engine.setSeed(undefined);
    expect(await drawn()).not.toEqual(first);
    expect(() => engine.setSeed(-1)).toThrow(expect.objectContaining({ code: 'INVALID_REQUEST' }));
  });

  it('the batch window gathers requests that come apart', async () => {
    const engine = await load(undefined, { batchWindowMs: 1000, maxBatchSize: 2 });
    const first = complete(engine);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await engine.stats()).toMatchObject({ active: 0, waiting: 1, steps: 0 });
    await Promise.all([first, complete(engine)]); // the batch is full
    engine.setBatchWindow(0);
    await complete(engine);
    expect(() => engine.setBatchWindow(1001)).toThrow(expect.objectContaining({ code: 'INVALID_REQUEST' }));
  });

  it('caches can be cleared: of memory, and of disk with the agents', async () => {
    const engine = await load(undefined, { cacheDir: temporaryFolder() });
    const agent = engine.agent('ann');
    await agent.chat(prompt, answer).result;
    await complete(engine);
    await engine.clearCaches();
    const { pool } = await engine.stats();
    for (const { capacity, free, cached } of pool) expect([free, cached]).toEqual([capacity, 0]);
    expect((await complete(engine)).usage.cachedTokens).toBe(0);
    expect((await agent.chat('And who runs it?', answer).result).usage.restoredTokens).toBeGreaterThan(0);

    await agent.save();
    await engine.clearCaches({ disk: true });
    expect(await engine.agents()).toEqual([]);
    expect((await agent.transcript()).messages).toEqual([]);
    expect((await agent.chat(prompt, answer).result).usage.cachedTokens).toBe(0);
    await expect(engine.clearCaches({ disc: true } as never)).rejects.toMatchObject({
      code: 'UNSUPPORTED_FIELD',
    });
  });

  it('turns that run while the caches are cleared go on with their conversation', async () => {
    const warnings: unknown[] = [];
    const onWarning = (warning: unknown) => warnings.push(warning);
    const engine = await load(undefined, { cacheDir: temporaryFolder(), onWarning });
    const agent = engine.agent('ann');
    await agent.chat(prompt, answer).result;
    const running = agent.chat('Go on.', { ...answer, maxTokens: 60 });
    await running.started;
    await engine.clearCaches({ disk: true });
    expect((await running.result).tokens).toHaveLength(60);
    await agent.save();
    expect((await agent.transcript()).messages).toHaveLength(4);
    expect(warnings).toEqual([]);
  });
});
