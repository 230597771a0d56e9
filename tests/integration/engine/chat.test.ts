import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Agent } from '../../../ts/engine/agent.js';
import type { Engine } from '../../../ts/engine/engine.js';
import type { GenerationResult } from '../../../ts/engine/types.js';
import { textOf } from '../../chunks.js';
import { fixture, load, temporaryFolder, tinyModel } from './engines.js';

const answer = { maxTokens: 24, ignoreEos: true } as const;

/** What a run of a deterministic model is judged by. */
const said = ({ tokens, text }: GenerationResult) => ({ tokens, text });

/** One short turn. */
const turn = (agent: Agent, text: string) => agent.chat(text, answer).result;

describe('an agent', () => {
  it('streams text, and its result says the same', async () => {
    const engine = await load();
    const generation = engine.agent('ann').chat('What is a tide mill?', answer);
    let text = '';
    const tokens: number[] = [];
    for await (const chunk of generation) {
      text += textOf(chunk);
      tokens.push(...chunk.tokens);
    }
    const result = await generation.result;
    expect(result).toMatchObject({ text, finishReason: 'length', agentId: 'ann', stopText: undefined });
    expect(result.tokens.slice(0, tokens.length)).toEqual(tokens);
    expect(result.usage).toMatchObject({ generatedTokens: 24, cachedTokens: 0, restoredTokens: 0 });
    expect(result.usage.promptTokens).toBe(result.usage.computedTokens);
    expect(result.usage.firstTokenMs).toBeGreaterThan(0);
    expect(result.usage.totalMs).toBeGreaterThanOrEqual(result.usage.firstTokenMs);
  });

  it('takes its whole last turn from the cache when it goes on', async () => {
    const engine = await load();
    const agent = engine.agent('ann');
    const first = await turn(agent, 'What is a tide mill?');
    const second = await turn(agent, 'And who runs it?');
    const known = first.usage.promptTokens + first.usage.generatedTokens;
    // The last token of an answer is chosen but not yet read by the model.
    expect(second.usage.ownTokens).toBe(known - 1);
    expect(second.usage.computedTokens).toBe(second.usage.promptTokens - (known - 1));
    expect((await agent.transcript()).messages.map((message) => message.role)).toEqual([
      'user',
      'assistant',
      'user',
      'assistant',
    ]);
  });

  it('takes it from the cache, too, when a client sends the conversation whole', async () => {
    const engine = await load();
    const question = { role: 'user', content: 'What is a tide mill?' } as const;
    const first = await engine.agent('ann').chat([question], answer).result;
    const whole = [
      question,
      { role: 'assistant', content: first.text },
      { role: 'user', content: 'Go on.' },
    ] as const;
    const second = await engine.agent('ann').chat(whole, answer).result;
    expect(second.usage.ownTokens).toBe(first.usage.promptTokens + first.usage.generatedTokens - 1);
  });

  it('takes it from the cache with tools and thoughts asked for, and space trimmed by the client', async () => {
    const engine = await load();
    expect(engine.info.toolFormat).toBe('hermes');
    const question = { role: 'user', content: 'What is a tide mill?' } as const;
    const asked = {
      tools: [{ name: 'look_up', description: 'Finds a word.', parameters: { type: 'object' } }],
      reasoning: { enabled: false },
    } as const;
    const options = { ...answer, ...asked };
    const expected = await engine.countTokens([question], asked);
    const first = await engine.agent('ann').chat([question], options).result;
    expect(first.usage.promptTokens).toBe(expected);
    const whole = [
      question,
      { role: 'assistant', content: first.text.trim(), toolCalls: first.toolCalls },
      { role: 'user', content: 'Go on.' },
    ] as const;
    const expectedNext = await engine.countTokens(whole, { ...asked, agentId: 'ann' });
    const second = await engine.agent('ann').chat(whole, options).result;
    expect(second.usage.promptTokens).toBe(expectedNext);
    expect(second.usage.ownTokens).toBe(first.usage.promptTokens + first.usage.generatedTokens - 1);
  });

  it('says the same cold, warm and alone or in company', async () => {
    const engine = await load();
    const alone = said(await turn(engine.agent('alone'), 'What is a tide mill?'));
    const company = await Promise.all(
      ['a', 'b', 'c', 'd'].map((id) => turn(engine.agent(id), 'What is a tide mill?')),
    );
    for (const one of company) expect(said(one)).toEqual(alone);
    const others = await Promise.all(['one', 'two', 'three'].map((text) => turn(engine.agent(text), text)));
    const again = await Promise.all(
      others.map((_, i) => turn(engine.agent(`again-${i}`), ['one', 'two', 'three'][i] ?? '')),
    );
    expect(again.map(said)).toEqual(others.map(said));
  });

  it('shares what agents have in common', async () => {
    const engine = await load();
    const system = readFileSync(fixture('text/perplexity.txt'), 'utf8').slice(0, 400);
    await engine.agent('ann').chat('One.', { ...answer, system }).result;
    const { usage } = await engine.agent('bob').chat('Two.', { ...answer, system }).result;
    expect(usage.sharedTokens).toBeGreaterThan(usage.promptTokens / 2);
    const salted = await engine.agent('cat').chat('Three.', { ...answer, system, cacheSalt: 'secret' })
      .result;
    expect(salted.usage.sharedTokens).toBe(0);
  });

  it('answers the same way with the same seed, and another with another', async () => {
    const engine = await load();
    const dice = (id: string, seed: number) =>
      engine.agent(id).chat('Tell me something.', { ...answer, temperature: 1.5, seed }).result;
    const [a, b, c] = await Promise.all([dice('a', 7), dice('b', 7), dice('c', 8)]);
    expect(said(a)).toEqual(said(b));
    expect(said(c)).not.toEqual(said(a));
  });

  it('ends at a stop text across tokens and never shows it', async () => {
    const engine = await load();
    const whole = await turn(engine.agent('whole'), 'What is a tide mill?');
    const at = Math.floor(whole.text.length / 2);
    const stop = whole.text.slice(at, at + 4);
    const generation = engine.agent('stopped').chat('What is a tide mill?', { ...answer, stop: [stop] });
    let text = '';
    for await (const chunk of generation) text += textOf(chunk);
    expect(text).toBe(whole.text.slice(0, whole.text.indexOf(stop)));
    expect(await generation.result).toMatchObject({ text, finishReason: 'stop', stopText: stop });
  });

  it('can be aborted within a step, and goes on from there', async () => {
    const engine = await load();
    const abort = new AbortController();
    const agent = engine.agent('ann');
    const generation = agent.chat('What is a tide mill?', {
      maxTokens: 400,
      ignoreEos: true,
      signal: abort.signal,
    });
    const reading = (async () => {
      for await (const _ of generation) abort.abort();
    })();
    await expect(reading).rejects.toMatchObject({ code: 'CANCELLED', name: 'AbortError' });
    await expect(generation.result).rejects.toMatchObject({ code: 'CANCELLED' });
    const next = await turn(agent, 'Go on.');
    expect(next.usage.ownTokens).toBeGreaterThan(0);
    expect((await engine.stats()).active).toBe(0);
  });

  it('continues raw prompts, of text and of tokens', async () => {
    const engine = await load();
    const text = 'The cat sat';
    const fromText = await engine.agent('a').generate(text, answer).result;
    const fromTokens = await engine.agent('b').generate(engine.tokenizer.encode(text), answer).result;
    const anonymous = await engine.complete(text, answer).result;
    expect(said(fromTokens)).toEqual(said(fromText));
    expect(said(anonymous)).toEqual(said(fromText));
    expect(anonymous.agentId).toBe('');
    expect((await engine.agents()).map((agent) => agent.id).sort()).toEqual(['a', 'b']);
  });

  it('scores a text', async () => {
    const engine = await load();
    const text = 'The miller starts at six on Monday.';
    const { tokens, logprobs, perplexity } = await engine.score(text);
    expect(tokens).toEqual(engine.tokenizer.encode(text));
    expect(logprobs).toHaveLength(tokens.length - 1);
    expect(logprobs.every((logprob) => logprob < 0)).toBe(true);
    const mean = logprobs.reduce((sum, logprob) => sum + logprob, 0) / logprobs.length;
    expect(perplexity).toBeCloseTo(Math.exp(-mean), 3);
    expect((await engine.score(text)).logprobs).toEqual(logprobs);
  });
});

describe('a fork', () => {
  it('knows what its parent knows, says what its parent would say, and goes its own way', async () => {
    const engine = await load();
    const parent = engine.agent('parent');
    await turn(parent, 'What is a tide mill?');
    const child = await parent.fork('child');
    expect(child.id).toBe('child');
    const ofChild = await turn(child, 'And who runs it?');
    const ofParent = await turn(parent, 'And who runs it?');
    expect(said(ofChild)).toEqual(said(ofParent));
    expect(ofChild.usage.computedTokens).toBeLessThan(ofChild.usage.promptTokens / 2);
    // What the child has read meanwhile serves its parent, too.
    expect(ofParent.usage.sharedTokens).toBeGreaterThan(0);
    await turn(child, 'Something else.');
    expect((await parent.transcript()).messages).toHaveLength(4);
    expect((await child.transcript()).messages).toHaveLength(6);
  });

  it('waits for the turn that runs', async () => {
    const engine = await load();
    const parent = engine.agent('parent');
    const running = turn(parent, 'What is a tide mill?');
    const child = await parent.fork('child');
    expect((await child.transcript()).messages).toHaveLength(2);
    await running;
  });
});

describe('an engine that keeps its agents on disk', () => {
  const next = (engine: Engine) => turn(engine.agent('ann'), 'And who runs it?');

  it('goes on after a restart as if there had been none', async () => {
    const cacheDir = temporaryFolder();
    const options = { cacheDir, numerics: 'exact' } as const;
    const before = await load(undefined, options);
    const first = await turn(before.agent('ann'), 'What is a tide mill?');
    await before.agent('ann').fork('twin');
    const expected = said(await turn(before.agent('twin'), 'And who runs it?'));
    await before.close();

    const after = await load(undefined, options);
    expect((await after.agents()).map(({ id, tier }) => `${id} ${tier}`)).toContain('ann warm');
    expect((await after.agent('ann').transcript()).messages).toHaveLength(2);
    const second = await next(after);
    expect(said(second)).toEqual(expected);
    const known = first.usage.promptTokens + first.usage.generatedTokens - 1;
    expect(second.usage.restoredTokens).toBe(known);
    expect(second.usage.computedTokens).toBe(second.usage.promptTokens - known);
  });

  it('makes an agent whose conversation has begun, once, and keeps it', async () => {
    const cacheDir = temporaryFolder();
    const opening = [
      { role: 'system', content: 'You are a miller.' },
      { role: 'user', content: 'What is a tide mill?' },
      { role: 'assistant', content: 'A mill that the tide drives.' },
    ] as const;
    const engine = await load(tinyModel, { cacheDir });
    const made = await Promise.allSettled([engine.create('ann', opening), engine.create('ann')]);
    expect(made.map((one) => one.status)).toEqual(['fulfilled', 'rejected']);
    expect(made[1]).toMatchObject({ reason: { code: 'AGENT_EXISTS' } });
    expect(await engine.agent('ann').info()).toMatchObject({ tokens: 0, requests: 0 });
    await engine.agent('ann').fork('bob');
    await engine.close();
    const again = await load(tinyModel, { cacheDir });
    await expect(again.create('ann')).rejects.toMatchObject({ code: 'AGENT_EXISTS' });
    const whole = [...opening, { role: 'user', content: 'Who runs it?' } as const];
    const expected = await again.agent('eve').chat(whole, answer).result;
    for (const name of ['ann', 'bob']) {
      const result = await again.agent(name).chat('Who runs it?', answer).result;
      expect(said(result)).toEqual(said(expected));
      expect(result.usage.promptTokens).toBe(expected.usage.promptTokens);
    }
  });

  it('brings an agent into memory before it is asked', async () => {
    const engine = await load(tinyModel, { cacheDir: temporaryFolder() });
    const agent = engine.agent('ann');
    await expect(agent.load()).rejects.toMatchObject({ code: 'AGENT_NOT_FOUND' });
    const first = await turn(agent, 'What is a tide mill?');
    await agent.evict();
    expect(await agent.info()).toMatchObject({ tier: 'warm' });
    await agent.load();
    expect(await agent.info()).toMatchObject({ tier: 'hot' });
    const { usage } = await turn(agent, 'And who runs it?');
    const known = first.usage.promptTokens + first.usage.generatedTokens - 1;
    expect(usage).toMatchObject({ ownTokens: known, restoredTokens: 0 });
  });

  it('answers a chat of nobody, and keeps nothing of it', async () => {
    const engine = await load();
    const messages = [{ role: 'user', content: 'What is a tide mill?' }] as const;
    const nobodys = await engine.chat(messages, answer).result;
    expect(nobodys.agentId).toBe('');
    expect(await engine.agents()).toEqual([]);
    expect(said(nobodys)).toEqual(said(await engine.agent('ann').chat(messages, answer).result));
  });

  it('brings an agent back that was moved to disk', async () => {
    const engine = await load(undefined, { cacheDir: temporaryFolder() });
    const agent = engine.agent('ann');
    await turn(agent, 'What is a tide mill?');
    await agent.save();
    expect(await agent.info()).toMatchObject({ id: 'ann', tier: 'hot', saved: true });
    await agent.evict();
    expect(await agent.info()).toMatchObject({ tier: 'warm', blocks: 0 });
    expect((await next(engine)).usage.cachedTokens).toBeGreaterThan(0);
  });

  it('removes an agent from memory and disk, and its turns with it', async () => {
    const engine = await load(undefined, { cacheDir: temporaryFolder() });
    const agent = engine.agent('ann');
    await turn(agent, 'What is a tide mill?');
    await agent.save();
    const running = agent.chat('Go on.', { maxTokens: 400, ignoreEos: true });
    const waiting = agent.chat('And on.', answer);
    await engine.remove('ann');
    await expect(running.result).rejects.toMatchObject({ code: 'AGENT_NOT_FOUND' });
    await expect(waiting.result).rejects.toMatchObject({ code: 'AGENT_NOT_FOUND' });
    expect(await engine.agents()).toEqual([]);
    expect((await agent.transcript()).messages).toEqual([]);
    expect((await turn(agent, 'Hello again.')).usage.ownTokens).toBe(0);
  });
});
