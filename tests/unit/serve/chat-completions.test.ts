import OpenAI from 'openai';
import { describe, expect, it } from 'vitest';
import { StompError } from '../../../ts/errors.js';
import { errorOf, events, hello, start, until } from './harness.js';

const path = '/v1/chat/completions';

describe('a whole answer', () => {
  it('has the shape of OpenAI, with the agent and what the cache did', async () => {
    const { engine, post } = await start();
    engine.script = { usage: { cachedTokens: 5, ownTokens: 5 } };
    const response = await post(path, { model: 'tiny', messages: hello });
    expect(response.status).toBe(200);
    const body = (await response.json()) as Record<string, unknown>;
    expect(body).toEqual({
      id: expect.stringMatching(/^chatcmpl-[0-9a-f]{32}$/),
      object: 'chat.completion',
      created: expect.any(Number),
      model: 'tiny',
      system_fingerprint: 'fp_0123456789',
      agent_id: expect.stringMatching(/^[0-9a-f]{16}$/),
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: 'Hello there!', refusal: null },
          logprobs: null,
          finish_reason: 'stop',
        },
      ],
      usage: {
        prompt_tokens: 7,
        completion_tokens: 3,
        total_tokens: 10,
        prompt_tokens_details: {
          cached_tokens: 5,
          computed_tokens: 2,
          shared_tokens: 0,
          restored_tokens: 0,
          miss_reason: null,
        },
        completion_tokens_details: { reasoning_tokens: 0 },
      },
    });
    expect(response.headers.get('x-agent-id')).toBe(body.agent_id);
    expect(response.headers.get('x-request-id')).toMatch(/^req_/);
  });

  it('passes on every sampling option', async () => {
    const { engine, post } = await start();
    await post(path, {
      messages: hello,
      temperature: 0.5,
      top_p: 0.9,
      top_k: 40,
      min_p: 0.05,
      max_completion_tokens: 12,
      seed: 7,
      stop: ['END'],
      ignore_eos: true,
      cache_salt: 'team',
      priority: 'low',
    });
    expect(engine.calls[0]?.options).toEqual({
      maxTokens: 12,
      temperature: 0.5,
      topP: 0.9,
      topK: 40,
      minP: 0.05,
      seed: 7,
      stop: ['END'],
      ignoreEos: true,
      cacheSalt: 'team',
      priority: 'low',
      signal: expect.any(AbortSignal),
    });
  });

  it('reads roles, names and text parts', async () => {
    const { engine, post } = await start();
    await post(path, {
      messages: [
        { role: 'developer', content: 'Be brief.' },
        { role: 'user', name: 'ann', content: [{ type: 'text', text: 'Hi' }] },
        { role: 'assistant', content: 'Yes?', tool_calls: [], refusal: null },
        { role: 'user', content: 'Go on' },
      ],
    });
    expect(engine.calls[0]?.input).toEqual([
      { role: 'system', content: 'Be brief.' },
      { role: 'user', name: 'ann', content: [{ type: 'text', text: 'Hi' }] },
      { role: 'assistant', content: 'Yes?' },
      { role: 'user', content: 'Go on' },
    ]);
  });
});

describe('a stream', () => {
  it('says role first, then texts, the finish reason, the usage and [DONE]', async () => {
    const { post } = await start();
    const response = await post(path, {
      messages: hello,
      stream: true,
      stream_options: { include_usage: true },
    });
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    expect(response.headers.get('x-agent-id')).toMatch(/^[0-9a-f]{16}$/);
    expect(response.headers.get('x-request-id')).toMatch(/^req_/);
    const data = await events(response);
    expect(data.pop()).toBe('[DONE]');
    const chunks = data.map((text) => JSON.parse(text) as Record<string, never>);
    const choice = (delta: object, finish_reason: string | null) => [
      { index: 0, delta, logprobs: null, finish_reason },
    ];
    expect(chunks.map((chunk) => chunk.choices)).toEqual([
      choice({ role: 'assistant', content: '' }, null),
      choice({ content: 'Hello' }, null),
      choice({ content: ' there' }, null),
      choice({ content: '!' }, null),
      choice({}, 'stop'),
      [],
    ]);
    expect(chunks.map((chunk) => chunk.usage)).toEqual([
      null,
      null,
      null,
      null,
      null,
      expect.objectContaining({ prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 }),
    ]);
    expect(new Set(chunks.map((chunk) => chunk.object))).toEqual(new Set(['chat.completion.chunk']));
    expect(new Set(chunks.map((chunk) => chunk.id)).size).toBe(1);
  });

  it('leaves the usage out unless it is asked for', async () => {
    const { post } = await start();
    const data = await events(await post(path, { messages: hello, stream: true }));
    expect(data.join()).not.toContain('usage');
  });

  it('gets an ordinary status for what fails before the first token', async () => {
    const { engine, post } = await start();
    const failure = new StompError('QUEUE_FULL', 'Too many wait.', { fields: { allowed: 8 } });
    engine.script = { failAt: 0, failure };
    const response = await post(path, { messages: hello, stream: true });
    expect(response.status).toBe(429);
    expect(response.headers.get('retry-after')).toBe('1');
    expect(await errorOf(response)).toMatchObject({
      code: 'QUEUE_FULL',
      type: 'rate_limit_error',
      fields: { allowed: 8 },
    });
  });

  it('ends with an error event and no [DONE] when it fails later', async () => {
    const { engine, post } = await start();
    engine.script = { failAt: 2, failure: new StompError('GENERATION_FAILED', 'A step failed.') };
    const data = await events(await post(path, { messages: hello, stream: true }));
    expect(JSON.parse(data.at(-1) ?? '')).toMatchObject({
      error: { code: 'GENERATION_FAILED', message: 'A step failed.' },
    });
    expect(data).not.toContain('[DONE]');
  });

  it('does not pass off an answer that was cut short as complete', async () => {
    const { engine, post } = await start();
    engine.script = { finishReason: 'cancelled' };
    const data = await events(await post(path, { messages: hello, stream: true }));
    expect(JSON.parse(data.at(-1) ?? '')).toMatchObject({ error: { code: 'CANCELLED' } });
  });

  it('opens before a slow first token', async () => {
    const { engine, post } = await start();
    engine.script = { tokens: ['late'], tokenMs: 2500 };
    const began = performance.now();
    const response = await post(path, { messages: hello, stream: true });
    expect(performance.now() - began).toBeLessThan(2400);
    expect((await events(response)).at(-1)).toBe('[DONE]');
  });
});

describe('the official client', () => {
  it('gets a whole answer, a stream and a typed error', async () => {
    const { url, engine } = await start();
    const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });
    const whole = await client.chat.completions.create({
      model: 'tiny',
      messages: [{ role: 'user', content: 'Hi' }],
    });
    expect(whole.choices[0]?.message.content).toBe('Hello there!');
    expect(whole.usage?.prompt_tokens_details?.cached_tokens).toBe(0);
    let text = '';
    const stream = await client.chat.completions.create({
      model: 'tiny',
      messages: [{ role: 'user', content: 'Hi' }],
      stream: true,
    });
    for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
    expect(text).toBe('Hello there!');
    await expect(
      client.chat.completions.create({ model: 'other', messages: [{ role: 'user', content: 'Hi' }] }),
    ).rejects.toMatchObject({ status: 404, code: 'MODEL_NOT_FOUND', param: 'model' });
    engine.script = { failAt: 1, failure: new StompError('GENERATION_FAILED', 'A step failed.') };
    const broken = await client.chat.completions.create({
      model: 'tiny',
      messages: [{ role: 'user', content: 'Hi' }],
      stream: true,
    });
    const read = async (): Promise<void> => {
      for await (const _ of broken);
    };
    await expect(read()).rejects.toThrow('A step failed.');
  });
});

describe('a client that goes away', () => {
  it.each([true, false])('cancels its generation (stream: %s)', async (stream) => {
    const { engine, url, log } = await start();
    engine.script = { tokens: Array<string>(1000).fill('x'), tokenMs: 5 };
    const abort = new AbortController();
    const request = fetch(url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ messages: hello, stream }),
      signal: abort.signal,
    });
    const reading = request.then((response) => response.text());
    await until(() => engine.calls.length === 1, 'the request arrives');
    await new Promise((resolve) => setTimeout(resolve, 50));
    abort.abort();
    await expect(reading).rejects.toThrow();
    await until(() => engine.cancelled === 1, 'the engine is told');
    await until(() => log.some((line) => line.msg === 'request'), 'the request is logged');

    expect(log.find((line) => line.msg === 'request')).toMatchObject({ status: 499, error: 'CANCELLED' });
  });
});

describe('the log', () => {
  it('tells what a request cost and nothing of what it said', async () => {
    const { post, log } = await start();
    await post(path, { messages: [{ role: 'user', content: 'the secret plan' }], session_id: 's1' });
    await post(path, '{"messages": [{"role": "user", "content": "the secret plan"');
    await post(path, { messages: [{ role: 'user', content: 'the secret plan', colour: 'the secret plan' }] });
    await until(() => log.filter((line) => line.msg === 'request').length === 3, 'three requests are logged');
    expect(log.find((line) => line.msg === 'request')).toMatchObject({
      method: 'POST',
      route: path,
      status: 200,
      agent: 's1',
      promptTokens: 7,
      generatedTokens: 3,
      finishReason: 'stop',
    });
    expect(JSON.stringify(log)).not.toContain('secret plan');
  });
});
