import { getEventListeners } from 'node:events';
import { beforeEach, describe, expect, it } from 'vitest';
import type { ChatOptions, Generation, GenerationChunk } from '../../../ts/engine/types.js';
import { textOf } from '../../chunks.js';
import { type Rig, rig } from './fake-core.js';

let r: Rig;

beforeEach(async () => {
  r = await rig();
  r.says('hello there');
});

const chat = (agent: string, messages: Parameters<Rig['turns']['chat']>[1], options: ChatOptions = {}) =>
  r.turns.chat(agent, messages, options, new Error());

const generate = (agent: string, prompt: string | number[], options: ChatOptions = {}) =>
  r.turns.generate(agent, prompt, options, new Error());

async function collect(generation: Generation): Promise<GenerationChunk[]> {
  const chunks: GenerationChunk[] = [];
  for await (const chunk of generation) chunks.push(chunk);
  return chunks;
}

const lastPrompt = () => r.tokenizer.decode([...(r.core.requests.at(-1)?.prompt ?? [])]);
const later = () => new Promise((resolve) => setTimeout(resolve, 5));
/** Once the engine has been asked. */
const begun = () => expect.poll(() => r.core.requests).not.toHaveLength(0);

describe('a turn', () => {
  it('streams text and ends with a result that says the same', async () => {
    const generation = chat('ann', 'hi');
    const chunks = await r.settle(collect(generation));
    const result = await generation.result;
    expect(chunks.length).toBeGreaterThan(3);
    expect(chunks.map(textOf).join('')).toBe('hello there');
    expect(chunks.flatMap((chunk) => chunk.tokens)).toEqual(result.tokens);
    expect(result).toMatchObject({ text: 'hello there', finishReason: 'stop', agentId: 'ann' });
    expect(await generation.text()).toBe('hello there');
  });

  it('runs though nobody reads it, and can be read afterwards', async () => {
    const generation = chat('ann', 'hi');
    await r.settle(generation.result);
    expect(await collect(generation)).toEqual([
      { type: 'text', text: 'hello there', tokens: r.tokenizer.encode('hello there') },
    ]);
    expect(await collect(generation)).toEqual([]);
  });

  it('counts what was computed, and the wait for the turn before', async () => {
    const first = chat('ann', 'hi');
    await begun();
    const second = chat('ann', 'again');
    await later();
    await r.settle(second.result);
    const { usage } = await first.result;
    expect(usage.computedTokens).toBe(usage.promptTokens - usage.cachedTokens);
    const waited = (await second.result).usage;
    expect(waited.queuedMs).toBeGreaterThan(5);
    expect(waited.totalMs - waited.queuedMs).toBeCloseTo(2);
  });

  it('goes on with the conversation of its agent when given a string', async () => {
    await r.settle(chat('ann', 'one', { system: 'be kind' }).result);
    await r.settle(chat('ann', 'two').result);
    expect(lastPrompt()).toBe(
      '<s>system be kind</s><s>user one</s><s>assistant hello there</s><s>user two</s><s>assistant ',
    );
    expect((await r.conversations.read('ann')).messages.map((message) => message.content)).toEqual([
      'be kind',
      'one',
      'hello there',
      'two',
      'hello there',
    ]);
  });

  it('takes an array as the whole conversation, whatever was said before', async () => {
    await r.settle(chat('ann', 'one').result);
    await r.settle(chat('ann', [{ role: 'user', content: 'new' }]).result);
    expect(lastPrompt()).toBe('<s>user new</s><s>assistant ');
    await r.settle(chat('ann', 'more').result);
    expect(lastPrompt()).toContain('<s>user new</s><s>assistant hello there</s><s>user more</s>');
  });

  it('sends the very tokens of its answer again, though encoding them would give others', async () => {
    const spelled = ['a', 'b', 'c'].flatMap((letter) => r.tokenizer.encode(letter));
    r.core.answer = () => [...spelled];
    expect(r.tokenizer.encode('abc')).not.toEqual(spelled);
    const turn = await r.settle(chat('ann', 'hi').result);
    const quoted = [
      { role: 'user', content: 'hi' },
      { role: 'assistant', content: turn.text },
      { role: 'user', content: 'go on' },
    ] as const;
    const before = [...(r.core.requests[0]?.prompt ?? []), ...spelled];
    await r.settle(chat('ann', quoted).result);
    expect([...(r.core.requests[1]?.prompt ?? [])].slice(0, before.length)).toEqual(before);
  });

  it('remembers the conversation after a restart', async () => {
    await r.settle(chat('ann', 'one').result);
    const kept = new Map(r.core.saved);
    r = await rig();
    r.says('yes');
    for (const [agent, transcript] of kept) r.core.saved.set(agent, transcript);
    await r.settle(chat('ann', 'two').result);
    expect(lastPrompt()).toBe('<s>user one</s><s>assistant hello there</s><s>user two</s><s>assistant ');
  });

  it('with an empty answer is part of the conversation all the same, and is saved', async () => {
    r.says('');
    await r.settle(chat('ann', 'one', { system: 'be still' }).result);
    await expect.poll(() => r.core.saves).toEqual(['ann']);
    r.says('yes');
    await r.settle(chat('ann', 'two').result);
    expect(lastPrompt()).toBe(
      '<s>system be still</s><s>user one</s><s>assistant </s><s>user two</s><s>assistant ',
    );
  });

  it('takes a system prompt only at the beginning, or the same again', async () => {
    await r.settle(chat('ann', 'one', { system: 'be kind' }).result);
    await r.settle(chat('ann', 'two', { system: 'be kind' }).result);
    await expect(r.settle(chat('ann', 'three', { system: 'be rude' }).result)).rejects.toMatchObject({
      code: 'INVALID_REQUEST',
      fields: { field: 'system' },
    });
    expect(() => chat('ann', [{ role: 'user', content: 'x' }], { system: 'y' })).toThrow(
      expect.objectContaining({ code: 'INVALID_REQUEST' }),
    );
  });

  it('keeps turns of one agent in order and lets other agents pass', async () => {
    const order: string[] = [];
    const first = chat('ann', 'one');
    const second = chat('ann', 'two');
    const other = chat('bob', 'three');
    for (const [name, generation] of Object.entries({ first, second, other })) {
      void generation.result.then(() => order.push(name));
    }
    // Which of the two agents comes first is nobody's promise.
    await expect.poll(() => r.core.requests.map((request) => request.agent).sort()).toEqual(['ann', 'bob']);
    await r.settle(Promise.all([first.result, second.result, other.result]));
    expect(order.at(-1)).toBe('second');
    expect(lastPrompt()).toContain('<s>user one</s><s>assistant hello there</s><s>user two</s>');
  });

  it('passes a raw prompt through as it is, text or tokens', async () => {
    await r.settle(generate('ann', 'once upon').result);
    expect(lastPrompt()).toBe('once upon');
    await r.settle(generate('', [5, 6, 7]).result);
    expect([...(r.core.requests.at(-1)?.prompt ?? [])]).toEqual([5, 6, 7]);
    expect(r.core.requests.at(-1)?.agent).toBe('');
  });

  it('keeps nothing of an anonymous completion', async () => {
    await r.settle(generate('', 'once upon').result);
    expect(r.core.saves).toEqual([]);
  });

  it('passes on how tokens are to be chosen', async () => {
    const options = {
      maxTokens: 7,
      temperature: 0.5,
      topK: 3,
      topP: 0.9,
      minP: 0.1,
      seed: 42,
      cacheSalt: 'x',
    };
    await r.settle(chat('ann', 'hi', { ...options, ignoreEos: true }).result);
    expect(r.core.requests[0]).toMatchObject({ ...options, ignoreEos: true, score: false });
  });
});

describe('a stop text', () => {
  it('ends the answer across tokens and never shows', async () => {
    const generation = chat('ann', 'hi', { stop: 'o th' });
    const chunks = await r.settle(collect(generation));
    const result = await generation.result;
    expect(chunks.map(textOf).join('')).toBe('hell');
    expect(result).toMatchObject({ text: 'hell', finishReason: 'stop', stopText: 'o th' });
    expect(r.tokenizer.decode(result.tokens)).toBe('hell');
    expect((await r.conversations.read('ann')).messages.at(-1)?.content).toBe('hell');
  });

  it('in the middle of a token loses nothing of the next prompt', async () => {
    r.says('say abc'); // whose end is one token
    const { text } = await r.settle(chat('ann', 'hi', { stop: 'bc' }).result);
    expect(text).toBe('say a');
    await r.settle(chat('ann', 'and?').result);
    expect(lastPrompt()).toContain(`<s>assistant ${text}</s><s>user and?</s>`);
  });

  it('tells the engine to stop', async () => {
    r.says('stop here and never say this');
    const generation = chat('ann', 'hi', { stop: ['here'] });
    await r.settle(generation.result);
    expect(r.core.busy).toBe(0);
    expect((await generation.result).text).toBe('stop ');
  });

  it('gives back what looked like one when the answer ends', async () => {
    expect((await r.settle(chat('ann', 'hi', { stop: 'there!' }).result)).text).toBe('hello there');
  });
});

describe('a turn that is not wanted any more', () => {
  it('rejects with CANCELLED when its signal is aborted, and keeps what was said', async () => {
    const abort = new AbortController();
    const generation = chat('ann', 'hi', { signal: abort.signal });
    await begun();
    for (let i = 0; i < 4; i++) r.core.step();
    abort.abort('enough');
    await expect(generation.result).rejects.toMatchObject({
      code: 'CANCELLED',
      name: 'AbortError',
      cause: 'enough',
    });
    await r.settle(r.lanes.drained());
    expect((await r.conversations.read('ann')).messages.at(-1)?.content).toBe('hell');
    expect(getEventListeners(abort.signal, 'abort')).toHaveLength(0);
  });

  it('throws into a loop that waits for more', async () => {
    const abort = new AbortController();
    const reading = collect(chat('ann', 'hi', { signal: abort.signal }));
    await begun();
    abort.abort();
    await expect(reading).rejects.toMatchObject({ code: 'CANCELLED' });
  });

  it('never reaches the engine when its signal is aborted before its turn', async () => {
    expect(getEventListeners(AbortSignal.abort(), 'abort')).toHaveLength(0);
    await expect(chat('ann', 'hi', { signal: AbortSignal.abort() }).result).rejects.toMatchObject({
      code: 'CANCELLED',
    });
    const abort = new AbortController();
    const first = chat('ann', 'one');
    const second = chat('ann', 'two', { signal: abort.signal });
    abort.abort();
    await expect(second.result).rejects.toMatchObject({ code: 'CANCELLED' });
    await r.settle(first.result);
    await r.settle(r.lanes.drained());
    expect(r.core.requests).toHaveLength(1);
  });

  it('ends as cancelled, with what there is, when its loop is left', async () => {
    const generation = chat('ann', 'hi');
    const reading = (async () => {
      for await (const chunk of generation) return textOf(chunk);
      return '';
    })();
    expect(await r.settle(reading)).toBe('h');
    const result = await r.settle(generation.result);
    expect(result.finishReason).toBe('cancelled');
    expect('hello there'.startsWith(result.text)).toBe(true);
    expect(result.text.length).toBeLessThan('hello there'.length);
  });

  it('ends at once when cancelled before its turn', async () => {
    const first = chat('ann', 'one');
    const second = chat('ann', 'two');
    second.cancel();
    expect(await second.result).toMatchObject({ finishReason: 'cancelled', text: '', tokens: [] });
    expect((await r.settle(first.result)).finishReason).toBe('stop');
  });

  it('takes no notice of a cancel that comes too late', async () => {
    const generation = chat('ann', 'hi');
    await r.settle(generation.result);
    generation.cancel();
    expect((await generation.result).finishReason).toBe('stop');
  });
});

describe('a turn that fails', () => {
  it('passes on the error of the engine with the frames of its caller', async () => {
    r.core.error = { code: 'POOL_EXHAUSTED', message: 'full', fields: { needed: '9' } };
    const generation = r.turns.chat('ann', 'hi', {}, new Error('called here'));
    const error: unknown = await r.settle(generation.result.catch((reason: unknown) => reason));
    expect(error).toMatchObject({ code: 'POOL_EXHAUSTED', status: 429, fields: { needed: '9' } });
    expect((error as Error).stack).toContain('turns.test.ts');
    await expect(collect(generation)).rejects.toBe(error);
    expect(r.core.saves).toEqual([]);
  });

  it('does not stop the turns after it', async () => {
    r.core.error = { code: 'GENERATION_FAILED', message: 'broken', fields: {} };
    const first = chat('ann', 'one');
    const second = chat('ann', 'two');
    expect((await r.settle(second.result)).text).toBe('hello there');
    await expect(first.result).rejects.toMatchObject({ code: 'GENERATION_FAILED' });
  });

  it('refuses what cannot fit the context without encoding it', async () => {
    const started = performance.now();
    await expect(chat('ann', 'x'.repeat(50_000_000)).result).rejects.toMatchObject({
      code: 'CONTEXT_OVERFLOW',
      fields: { contextTokens: 4096 },
    });
    expect(performance.now() - started).toBeLessThan(3000);
    expect(r.core.requests).toHaveLength(0);
  });

  it('is told when the engine closes under it', async () => {
    const running = chat('ann', 'hi');
    await begun();
    r.dispatcher.close();
    await expect(running.result).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
    await expect(chat('bob', 'hi').result).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
    r.turns.close();
    expect(() => chat('bob', 'hi')).toThrow(expect.objectContaining({ code: 'SHUTTING_DOWN' }));
  });

  it('is told when the engine cancels it of its own accord', async () => {
    const running = chat('ann', 'hi');
    await begun();
    r.core.cancel(r.core.requests[0]?.id ?? -1);
    await expect(r.settle(running.result)).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
  });

  it.each([
    [{ maxTokens: 0 }, 'maxTokens'],
    [{ maxTokens: -1 }, 'maxTokens'],
    [{ maxTokens: 1.5 }, 'maxTokens'],
    [{ temperature: -0.1 }, 'temperature'],
    [{ temperature: Number.NaN }, 'temperature'],
    [{ temperature: '1' }, 'temperature'],
    [{ topP: 0 }, 'topP'],
    [{ topP: 1.1 }, 'topP'],
    [{ topK: -1 }, 'topK'],
    [{ minP: 2 }, 'minP'],
    [{ seed: 2 ** 53 }, 'seed'],
    [{ stop: '' }, 'stop'],
    [{ stop: Array.from({ length: 17 }, () => 'x') }, 'stop'],
    [{ stop: ['x'.repeat(1025)] }, 'stop'],
    [{ stop: ['\ud83d'] }, 'stop'],
    [{ stop: 7 }, 'stop'],
    [{ ignoreEos: 1 }, 'ignoreEos'],
    [{ cacheSalt: 'x'.repeat(300) }, 'cacheSalt'],
    [{ signal: {} }, 'signal'],
    [{ onPrefill: 'x' }, 'onPrefill'],
    [{ system: 7 }, 'system'],
    [null, 'options'],
  ])('refuses the options %j at once, naming %s', (options, field) => {
    expect(() => chat('ann', 'hi', options as ChatOptions)).toThrow(
      expect.objectContaining({ code: 'INVALID_REQUEST', fields: expect.objectContaining({ field }) }),
    );
  });

  it('refuses an option it does not know, by name', () => {
    expect(() => chat('ann', 'hi', { top_p: 1 } as ChatOptions)).toThrow(
      expect.objectContaining({
        code: 'UNSUPPORTED_FIELD',
        fields: expect.objectContaining({ field: 'top_p' }),
      }),
    );
    expect(() => generate('ann', 'hi', { system: 'x' })).toThrow(
      expect.objectContaining({ code: 'UNSUPPORTED_FIELD' }),
    );
  });

  it.each([[''], [[]], [[1.5]], [[-1]], [[1e9]], [{}]])('refuses the prompt %j', (prompt) => {
    expect(() => generate('ann', prompt as string)).toThrow(
      expect.objectContaining({
        code: 'INVALID_REQUEST',
        fields: expect.objectContaining({ field: 'prompt' }),
      }),
    );
  });
});

describe('saves in the background', () => {
  it('happen after every turn', async () => {
    await r.settle(chat('ann', 'one').result);
    await expect.poll(() => r.core.saves).toEqual(['ann']);
    await r.settle(chat('ann', 'two').result);
    await expect.poll(() => r.core.saves).toEqual(['ann', 'ann']);
    expect(r.core.saved.get('ann')).toContain('two');
  });

  it('become warnings when they fail, and are tried again', async () => {
    r.core.saveError = { code: 'CACHE_PERSISTENCE', message: 'disk full', fields: {} };
    await r.settle(chat('ann', 'one').result);
    await expect.poll(() => r.warnings).toMatchObject([{ code: 'CACHE_PERSISTENCE', message: 'disk full' }]);
    await expect(r.conversations.save('ann')).rejects.toMatchObject({
      code: 'CACHE_PERSISTENCE',
      status: 507,
    });
    r.core.saveError = undefined;
    await r.conversations.settleAll();
    expect(r.core.saved.get('ann')).toContain('one');
  });
});
