/** Turns that ask for more than text: log-probabilities, scripts, seeds; and what is known of them early. */
import { beforeEach, describe, expect, it } from 'vitest';
import type { ChatOptions, GenerationChunk } from '../../../ts/engine/types.js';
import { Vocabulary } from '../../../ts/engine/vocabulary.js';
import { type Rig, rig } from './fake-core.js';

let r: Rig;

beforeEach(async () => {
  r = await rig();
  r.says('héllo thére');
});

const chat = (options: ChatOptions = {}, agent = '') => r.turns.chat(agent, 'hi', options, new Error());

async function collect(chunks: AsyncIterable<GenerationChunk>): Promise<GenerationChunk[]> {
  const all: GenerationChunk[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return all;
}

const ids = (list: readonly { token: number }[] | undefined) => list?.map(({ token }) => token);

describe('log-probabilities', () => {
  it('stand beside the tokens of each chunk, characters of two tokens and slow readers included', async () => {
    const generation = chat({ topLogprobs: 0 });
    const chunks = await r.settle(collect(generation));
    expect(chunks.length).toBeGreaterThan(3);
    for (const chunk of chunks) expect(ids(chunk.logprobs)).toEqual(chunk.tokens);
    const { tokens, logprobs } = await generation.result;
    expect(ids(logprobs)).toEqual(tokens);
    for (const { token, logprob, top } of logprobs) expect([logprob, top]).toEqual([-token, []]);

    const slow = chat({ topLogprobs: 3 });
    await r.settle(slow.result);
    const [whole] = await collect(slow);
    expect(ids(whole?.logprobs)).toEqual(tokens);
  });

  it('are those of the text that a stop text has left', async () => {
    const generation = chat({ topLogprobs: 0, stop: 'lo t' });
    const chunks = await r.settle(collect(generation));
    const { tokens, logprobs, text } = await generation.result;
    expect(text).toBe('hél');
    expect(ids(logprobs)).toEqual(tokens);
    expect(chunks.flatMap((chunk) => ids(chunk.logprobs))).toEqual(chunks.flatMap((chunk) => chunk.tokens));
  });

  it('are not there when nobody asked', async () => {
    const generation = chat();
    const chunks = await r.settle(collect(generation));
    for (const chunk of chunks) expect(chunk).not.toHaveProperty('logprobs');
    expect((await generation.result).logprobs).toEqual([]);
  });
});

describe('the start of a turn', () => {
  it('is known with its cached tokens before the first token', async () => {
    r.core.answer = () => r.tokenizer.encode('x'.repeat(50));
    const generation = chat();
    const use = await r.settle(generation.started);
    expect(use).toEqual({ promptTokens: r.core.requests[0]?.prompt.length, cachedTokens: 1 });
    expect(r.core.busy).toBe(1);
    await r.settle(generation.result);
  });
});

describe('a script', () => {
  it('is asked with the text of the prompt and goes to the core as tokens, markers included', async () => {
    const prompts: string[] = [];
    r.script = (prompt) => {
      prompts.push(prompt);
      return 'yes</s>';
    };
    await r.settle(chat().result);
    expect(prompts).toEqual(['<s>user hi</s><s>assistant ']);
    expect([...(r.core.requests[0]?.script ?? [])]).toEqual([...r.tokenizer.encode('yes'), 1]);
    const tokens = r.tokenizer.encode('raw');
    await r.settle(r.turns.generate('', tokens, {}, new Error()).result);
    expect(prompts[1]).toBe('raw');
  });

  it('leaves the answer to the model, or ends it at once', async () => {
    await r.settle(chat().result);
    expect(r.core.requests[0]?.script).toHaveLength(0);
    r.script = () => '';
    await r.settle(chat().result);
    expect([...(r.core.requests[1]?.script ?? [])]).toEqual([1]);
  });

  it('fails the turn alone when it throws or returns no text', async () => {
    r.script = () => {
      throw new Error('not scripted');
    };
    await expect(r.settle(chat().result)).rejects.toThrow('not scripted');
    r.script = (() => 7) as never;
    await expect(r.settle(chat().result)).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
    r.script = undefined;
    await expect(r.settle(chat().result)).resolves.toMatchObject({ text: 'héllo thére' });
  });
});

describe('seeds', () => {
  it('are those of the engine when a request names none', async () => {
    for (let round = 0; round < 2; round++) {
      r.seeds.set(3);
      await r.settle(chat().result);
      await r.settle(chat({ seed: 77 }).result);
      await r.settle(chat().result);
    }
    const seeds = r.core.requests.map((request) => request.seed);
    expect(seeds.slice(0, 3)).toEqual(seeds.slice(3));
    expect(seeds[1]).toBe(77);
    expect(seeds[0]).not.toBe(seeds[2]);
  });
});

describe('a turn of nobody', () => {
  it('keeps nothing', async () => {
    await r.settle(chat().result);
    await r.settle(chat().result);
    expect(r.core.saves).toEqual([]);
    expect(r.core.requests.map((request) => request.agent)).toEqual(['', '']);
    expect(r.core.requests[0]?.prompt).toEqual(r.core.requests[1]?.prompt);
  });
});

describe('the vocabulary', () => {
  it('is given once, the bytes of each token in turn, and none for markers', async () => {
    const vocabulary = new Vocabulary({
      engine: r.core,
      tokenizer: r.tokenizer,
      vocabSize: r.tokenizer.vocabSize + 5,
    });
    await Promise.all([vocabulary.given(), vocabulary.given()]);
    expect(r.core.vocabularies).toHaveLength(1);
    const { bytes = new Uint8Array(0), ends = new Int32Array(0) } = r.core.vocabularies[0] ?? {};
    expect(ends).toHaveLength(r.tokenizer.vocabSize + 5);
    for (let id = 0; id < ends.length; id++) {
      const text = bytes.subarray(ends[id - 1] ?? 0, ends[id]);
      const expected = r.tokenizer.isSpecial(id) ? new Uint8Array(0) : r.tokenizer.bytes(id);
      expect(Buffer.from(text).equals(expected), String(id)).toBe(true);
    }
    expect(ends.at(-1)).toBe(bytes.length);
  });

  it('is given again after a failure', async () => {
    let fails = true;
    const engine = {
      setVocabulary: async () => {
        if (fails) throw new Error('closed');
      },
      compile: () => Promise.resolve(),
    };
    const vocabulary = new Vocabulary({ engine, tokenizer: r.tokenizer, vocabSize: 10 });
    await expect(vocabulary.given()).rejects.toThrow('closed');
    fails = false;
    await expect(vocabulary.given()).resolves.toBeUndefined();
  });
});

describe('a turn of a form', () => {
  const asked: ChatOptions = { responseFormat: { type: 'json_object' } };

  it('is submitted when its grammar is ready, and others do not wait for that', async () => {
    let ready = (): void => undefined;
    r.core.compiling = new Promise((resolve) => {
      ready = resolve;
    });
    const held = chat(asked);
    await r.settle(chat().result);
    expect(r.core.requests.map(({ grammar }) => grammar)).toEqual(['']);
    ready();
    await r.settle(held.result);
    expect(r.core.requests[1]?.grammar).toBe(r.core.compiled[0]);
    expect(r.core.compiled).toHaveLength(1);
  });

  it('is dropped when it is cancelled while its schema is compiled', async () => {
    const schema = (format: string) => ({ type: 'string', format });
    const held = (format: string) =>
      chat({ responseFormat: { type: 'json_schema', schema: schema(format) } });
    const [first, cancelled, last] = ['email', 'hostname', 'date'].map(held);
    await new Promise((resolve) => setImmediate(resolve));
    cancelled?.cancel();
    expect((await cancelled?.result)?.finishReason).toBe('cancelled');
    await expect.poll(() => r.core.requests).toHaveLength(2);
    await r.settle(Promise.all([first?.result, last?.result]));
    expect(r.core.compiled).toHaveLength(2);
    await r.turns.close();
  });

  it('is never submitted when it is cancelled before, or its grammar is not served', async () => {
    const cancelled = chat(asked);
    r.core.compiling = Promise.resolve().then(() => cancelled.cancel());
    expect((await cancelled.result).finishReason).toBe('cancelled');
    const refused = Promise.reject(Object.assign(new Error('too deep'), { code: 'INVALID_REQUEST' }));
    refused.catch(() => undefined); // until the turn comes to it
    r.core.compiling = refused;
    await expect(chat(asked).result).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
    expect(r.core.requests).toEqual([]);
  });
});
