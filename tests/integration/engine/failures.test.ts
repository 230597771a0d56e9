import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Engine } from '../../../ts/engine/engine.js';
import type { EngineOptions, LoadProgress } from '../../../ts/engine/types.js';
import type { StompError } from '../../../ts/errors.js';
import { fixture, load, temporaryFolder, tinyModel } from './engines.js';

const answer = { maxTokens: 8, ignoreEos: true } as const;
const refused = (code: string, ...mentions: string[]) =>
  expect.objectContaining({
    name: expect.stringMatching(/Error$/) as string,
    code,
    message: expect.stringMatching(new RegExp(mentions.join('.*'), 's')) as string,
  });

describe('an executor in a library of its own', () => {
  // The error is thrown in one library and caught in another, which only works where both know its type as the same:
  // on macOS that is another matter than on Linux.
  it('refuses with the code and the words that it has thrown', async () => {
    await expect(load(tinyModel, { executor: 'mlx', kvBits: 8, blockTokens: 64 })).rejects.toEqual(
      refused('INVALID_REQUEST', 'groups of 32', "this model's heads of 16", '--kv-bits'),
    );
  });
});

describe('a model that cannot be loaded', () => {
  it('is refused when nobody knows its name, with the names and forms there are', async () => {
    await expect(load('no-such-model')).rejects.toEqual(refused('MODEL_NOT_FOUND', 'smollm2-135m', '.gguf'));
    await expect(load('/no/such/file.gguf')).rejects.toEqual(
      refused('MODEL_NOT_FOUND', '/no/such/file.gguf'),
    );
  });

  it('is refused when its file is cut off, is not what it says, or lies', async () => {
    const folder = temporaryFolder();
    const whole = readFileSync(tinyModel);
    const huge = Buffer.from(whole);
    huge.writeBigUInt64LE(2n ** 60n, 16);
    const cases = {
      cut: whole.subarray(0, 5000),
      half: whole.subarray(0, whole.length / 2),
      huge,
      text: Buffer.from('hello'),
    };
    for (const [name, bytes] of Object.entries(cases)) {
      const path = join(folder, `${name}.gguf`);
      writeFileSync(path, bytes);
      await expect(load(path), name).rejects.toEqual(refused('MODEL_INVALID'));
    }
  });

  it('is refused by the name of its family when that is not supported', async () => {
    const folder = temporaryFolder();
    cpSync(fixture('models/tiny-llama-f16'), folder, { recursive: true });
    const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as object;
    writeFileSync(
      join(folder, 'config.json'),
      JSON.stringify({ ...config, model_type: 'mamba', architectures: ['Mamba'] }),
    );
    await expect(load(folder)).rejects.toEqual(refused('MODEL_UNSUPPORTED', '[Mm]amba'));
  });

  it('is refused when its folder is empty', async () => {
    const folder = join(temporaryFolder(), 'empty');
    mkdirSync(folder);
    await expect(load(folder)).rejects.toEqual(refused('MODEL_INVALID', 'tokenizer.json'));
  });

  it.each([
    [{ blockTokens: 17 }, 'INVALID_REQUEST', 'blockTokens'],
    [{ threads: -1 }, 'INVALID_REQUEST', 'threads'],
    [{ maxBatchSize: '4' }, 'INVALID_REQUEST', 'maxBatchSize'],
    [{ kvBits: 6 }, 'INVALID_REQUEST', 'kvBits'],
    [{ speed: 9 }, 'UNSUPPORTED_FIELD', 'speed'],
  ])('is refused with the options %j before anything is done', async (options, code, field) => {
    await expect(Engine.load('no-such-model', options as EngineOptions)).rejects.toEqual(
      refused(code, field),
    );
  });

  it('can be aborted', async () => {
    await expect(load(tinyModel, { signal: AbortSignal.abort() })).rejects.toEqual(refused('CANCELLED'));
    const abort = new AbortController();
    const loading = load(tinyModel, { signal: abort.signal });
    setImmediate(() => abort.abort());
    await expect(loading).rejects.toEqual(refused('CANCELLED'));
  });
});

describe('a load that is aborted half way', () => {
  it('rejects at once and gives its cache folder back', async () => {
    const cacheDir = temporaryFolder();
    const abort = new AbortController();
    const onProgress = ({ phase }: LoadProgress) => {
      if (phase === 'load') abort.abort();
    };
    const loading = load(tinyModel, { cacheDir, signal: abort.signal, onProgress });
    await expect(loading).rejects.toEqual(refused('CANCELLED'));
    const again = () =>
      load(tinyModel, { cacheDir }).then(
        () => 'loaded',
        (error: StompError) => error.code,
      );
    await expect.poll(again).toBe('loaded');
  });
});

describe('a cache folder', () => {
  it('serves one engine at a time', async () => {
    const cacheDir = temporaryFolder();
    const first = await load(tinyModel, { cacheDir });
    await expect(load(tinyModel, { cacheDir })).rejects.toEqual(refused('CACHE_IN_USE'));
    await first.close();
    await load(tinyModel, { cacheDir });
  });

  it('that cannot be made is refused', async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'file'), '');
    await expect(load(tinyModel, { cacheDir: join(folder, 'file', 'caches') })).rejects.toEqual(
      refused('CACHE_PERSISTENCE'),
    );
  });
});

describe('a request that cannot be served', () => {
  it('is refused with the counts when its prompt is longer than the context', async () => {
    const engine = await load();
    const prompt = 'word '.repeat(2000);
    const error: unknown = await engine
      .agent('ann')
      .chat(prompt, answer)
      .result.catch((reason: unknown) => reason);
    expect(error).toEqual(refused('CONTEXT_OVERFLOW', '512'));
    expect(error).toHaveProperty('stack', expect.stringContaining('failures.test.ts'));
    expect(await engine.agents()).toEqual([]);
    await expect(engine.score(prompt)).rejects.toEqual(refused('CONTEXT_OVERFLOW'));
  });

  it('is refused when the queue is full, and the others are served', async () => {
    const engine = await load(tinyModel, { maxBatchSize: 1, maxQueue: 1 });
    // Long enough that all arrive while the first one runs.
    const long = { maxTokens: 450, ignoreEos: true };
    const generations = Array.from(
      { length: 12 },
      (_, i) => engine.agent(`a${i}`).chat('Hello', long).result,
    );
    const settled = await Promise.allSettled(generations);
    const failures = settled.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []));
    expect(failures.length).toBeGreaterThan(0);
    expect(failures.length).toBeLessThan(12);
    for (const failure of failures) expect(failure).toMatchObject({ code: 'QUEUE_FULL', status: 429 });
  });

  it('is refused for an agent that does not exist, or exists already', async () => {
    const engine = await load();
    const nobody = engine.agent('nobody');
    for (const call of [nobody.save(), nobody.evict(), nobody.remove(), nobody.fork('other')]) {
      await expect(call).rejects.toMatchObject({ code: 'AGENT_NOT_FOUND', status: 404 });
    }
    expect(await nobody.info()).toBeUndefined();
    expect((await nobody.transcript()).tokens).toEqual([]);
    const agent = engine.agent('ann');
    await agent.chat('Hello', answer).result;
    await agent.fork('bob');
    await expect(agent.fork('bob')).rejects.toMatchObject({ code: 'AGENT_EXISTS', status: 409 });
    const both = await Promise.allSettled([agent.fork('cat'), agent.fork('cat')]);
    expect(both.map((one) => one.status).sort()).toEqual(['fulfilled', 'rejected']);
  });

  it.each(['a/b', '../a', '', 'a b', '.hidden', 'x'.repeat(129)])(
    'is refused for an agent called %j',
    async (id) => {
      const engine = await load();
      expect(() => engine.agent(id)).toThrow(refused('INVALID_REQUEST'));
      await expect(engine.remove(id)).rejects.toEqual(refused('INVALID_REQUEST'));
    },
  );

  it('is given up when a score is not wanted any more', async () => {
    const engine = await load();
    const aborted = engine.score('two words', { signal: AbortSignal.abort() });
    await expect(aborted).rejects.toEqual(refused('CANCELLED'));
    const abort = new AbortController();
    const scoring = engine.score('many words '.repeat(40), { signal: abort.signal });
    setImmediate(() => abort.abort());
    const outcome = await scoring.then(
      () => 'scored',
      (error: StompError) => error.code,
    );
    expect(['CANCELLED', 'scored']).toContain(outcome);
    expect((await engine.stats()).active).toBe(0);
  });

  it('is refused when it scores too little', async () => {
    const engine = await load();
    await expect(engine.score('')).rejects.toEqual(refused('INVALID_REQUEST'));
  });
});

describe('an engine that closes', () => {
  it('ends what runs and what waits, and refuses what comes', async () => {
    const engine = await load();
    const agent = engine.agent('ann');
    const running = agent.chat('Hello', { maxTokens: 400, ignoreEos: true });
    const waiting = agent.chat('Again', answer);
    const closing = engine.close();
    for (const one of [running.result, waiting.result])
      await expect(one).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
    await closing;
    expect(() => agent.chat('Hello')).toThrow(refused('SHUTTING_DOWN'));
    for (const call of [engine.stats(), engine.agents(), agent.save(), engine.score('a text')]) {
      await expect(call).rejects.toMatchObject({ code: 'SHUTTING_DOWN', status: 503 });
    }
    await engine.close();
    await engine[Symbol.asyncDispose]();
  });

  it('keeps the turn that it interrupts', async () => {
    const cacheDir = temporaryFolder();
    const engine = await load(tinyModel, { cacheDir });
    const generation = engine.agent('ann').chat('Hello', { maxTokens: 400, ignoreEos: true });
    await generation[Symbol.asyncIterator]().next();
    await engine.close();
    const again = await load(tinyModel, { cacheDir });
    const { messages } = await again.agent('ann').transcript();
    expect(messages.map((message) => message.role)).toEqual(['user', 'assistant']);
  });
});
