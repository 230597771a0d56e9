import { describe, expect, it } from 'vitest';
import { StompError } from '../../../ts/errors.js';
import { errorOf, events, type Running, start } from './harness.js';

const tool = { type: 'function', function: { name: 'look', parameters: { type: 'object' } } };

async function withAgent(): Promise<Running> {
  const running = await start();
  expect((await running.post('/v1/agents/ann/generate', { message: 'Hi' })).status).toBe(200);
  return running;
}

describe('generate', () => {
  it('tells text, finish reason and what it cost', async () => {
    const { post, engine } = await start();
    engine.script = { usage: { cachedTokens: 0, missReason: 'new agent' } };
    const response = await post('/v1/agents/ann/generate', {
      message: 'Hi',
      system: 'Be kind',
      max_tokens: 5,
    });
    expect(response.headers.get('x-agent-id')).toBe('ann');
    expect(await response.json()).toEqual({
      agent_id: 'ann',
      model: 'tiny',
      text: 'Hello there!',
      finish_reason: 'stop',
      usage: {
        prompt_tokens: 7,
        cached_tokens: 0,
        computed_tokens: 7,
        generated_tokens: 3,
        drafted_tokens: 0,
        accepted_tokens: 0,
        own_tokens: 0,
        shared_tokens: 0,
        restored_tokens: 0,
        miss_reason: 'new agent',
        queued_ms: 1,
        first_token_ms: 20,
        total_ms: 30,
      },
    });
    expect(engine.calls[0]).toMatchObject({ input: 'Hi', options: { system: 'Be kind', maxTokens: 5 } });
  });

  it('takes a prompt or messages as well', async () => {
    const { post, engine } = await start();
    await post('/v1/agents/ann/generate', { prompt: 'Once' });
    await post('/v1/agents/ann/generate', { messages: [{ role: 'user', content: 'Hi' }] });
    expect(engine.calls.map((call) => call.input)).toEqual(['Once', [{ role: 'user', content: 'Hi' }]]);
  });

  it('takes tools, forms, thoughts and penalties as the chat does', async () => {
    const { post, engine } = await start();
    await post('/v1/agents/ann/generate', {
      message: 'Hi',
      tools: [tool],
      tool_choice: 'required',
      parallel_tool_calls: false,
      response_format: { type: 'json_object' },
      reasoning_effort: 'low',
      reasoning_budget_tokens: 50,
      logprobs: true,
      top_logprobs: 2,
      presence_penalty: 1,
    });
    expect(engine.calls[0]?.options).toEqual({
      tools: [{ name: 'look', parameters: { type: 'object' } }],
      toolChoice: 'required',
      parallelToolCalls: false,
      responseFormat: { type: 'json_object' },
      reasoning: { enabled: true, budgetTokens: 50 },
      topLogprobs: 2,
      presencePenalty: 1,
      signal: expect.any(AbortSignal),
    });
  });

  it('tells calls, thoughts and log-probabilities, whole or in pieces', async () => {
    const { post, engine } = await start();
    const logprobs = [{ token: 0x48, logprob: -0.5, top: [] }];
    engine.script = {
      pieces: [
        { type: 'reasoning', text: 'Hm.', tokens: [1] },
        { type: 'text', text: 'H', tokens: [0x48], logprobs },
        { type: 'tool_call', index: 0, id: 'c', name: 'look', arguments: '', tokens: [3] },
        { type: 'tool_call', index: 0, arguments: '{}', tokens: [4] },
      ],
    };
    const entry = { token: 'H', logprob: -0.5, bytes: [0x48], top_logprobs: [] };
    const ask = { message: 'Hi', tools: [tool], logprobs: true };
    expect(await (await post('/v1/agents/ann/generate', ask)).json()).toMatchObject({
      text: 'H',
      reasoning: 'Hm.',
      tool_calls: [{ id: 'c', name: 'look', arguments: '{}' }],
      logprobs: [entry],
      finish_reason: 'tool_calls',
    });
    const data = await events(await post('/v1/agents/ann/generate', { ...ask, stream: true }));
    expect(data.slice(0, -2).map((text) => JSON.parse(text) as object)).toEqual([
      { agent_id: 'ann', reasoning: 'Hm.' },
      { agent_id: 'ann', text: 'H', logprobs: [entry] },
      { agent_id: 'ann', tool_call: { index: 0, id: 'c', name: 'look', arguments: '' } },
      { agent_id: 'ann', tool_call: { index: 0, arguments: '{}' } },
    ]);
  });

  it('streams pieces of the same', async () => {
    const { post } = await start();
    const data = await events(await post('/v1/agents/ann/generate', { message: 'Hi', stream: true }));
    expect(data.pop()).toBe('[DONE]');
    const pieces = data.map((text) => JSON.parse(text) as { text: string; finish_reason?: string });
    expect(pieces.map((piece) => piece.text).join('')).toBe('Hello there!');
    expect(pieces.at(-1)).toMatchObject({
      agent_id: 'ann',
      finish_reason: 'stop',
      usage: { generated_tokens: 3 },
    });
  });

  it.each([
    [{}, 'message'],
    [{ message: 'a', prompt: 'b' }, 'message'],
    [{ prompt: 'a', system: 'b' }, 'system'],
    [{ message: 1 }, 'message'],
    [{ message: 'a', n: 2 }, 'n'],
    [{ prompt: 'a', tools: [tool] }, 'tools'],
    [{ prompt: 'a', response_format: { type: 'json_object' } }, 'response_format'],
    [{ prompt: 'a', reasoning_effort: 'low' }, 'reasoning_effort'],
    [{ message: 'a', tool_choice: 'required' }, 'tool_choice'],
    [{ message: 'a', max_tokens: -1 }, 'max_tokens'],
  ])('refuses %j', async (body, param) => {
    const { post } = await start();
    const response = await post('/v1/agents/ann/generate', body);
    expect(response.status).toBe(400);
    expect(await errorOf(response)).toMatchObject({ code: 'INVALID_REQUEST', param });
  });

  it('passes on what the engine refuses, with its counts', async () => {
    const { post, engine } = await start();
    const fields = { promptTokens: 900, contextTokens: 512 };
    engine.script = { refusal: new StompError('CONTEXT_OVERFLOW', 'Too long.', { fields }) };
    const response = await post('/v1/agents/ann/generate', { message: 'Hi' });
    expect(response.status).toBe(400);
    expect(await errorOf(response)).toMatchObject({ code: 'CONTEXT_OVERFLOW', fields });
  });
});

describe('the agents', () => {
  it('are listed and shown', async () => {
    const { get } = await withAgent();
    const ann = {
      agent_id: 'ann',
      tier: 'hot',
      tokens: 10,
      blocks: 1,
      pool_bytes: 100,
      disk_bytes: 0,
      saved: false,
      last_used: '2023-11-14T22:13:20.000Z',
      requests: 1,
      prompt_tokens: 8,
      cached_tokens: 4,
      hit_rate: 0.5,
    };
    expect(await (await get('/v1/agents')).json()).toEqual({ object: 'list', data: [ann] });
    expect(await (await get('/v1/agents/ann')).json()).toEqual(ann);
  });

  it('are deleted', async () => {
    const { get, url } = await withAgent();
    const response = await fetch(`${url}/v1/agents/ann`, { method: 'DELETE' });
    expect(await response.json()).toEqual({ agent_id: 'ann', deleted: true });
    expect((await get('/v1/agents/ann')).status).toBe(404);
  });

  it('are made, with or without a conversation that has begun, once under each name', async () => {
    const { post, engine } = await start();
    const made = await post('/v1/agents', {
      agent_id: 'ann',
      system: 'Be brief.',
      messages: [
        { role: 'user', content: 'Hi' },
        { role: 'assistant', content: 'Yes?' },
      ],
    });
    expect(made.status).toBe(201);
    expect(made.headers.get('x-agent-id')).toBe('ann');
    expect(await made.json()).toMatchObject({ agent_id: 'ann', tier: 'hot' });
    expect(engine.openings.get('ann')).toEqual([
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Hi' },
      { role: 'assistant', content: 'Yes?' },
    ]);
    expect((await post('/v1/agents', { agent_id: 'bob' })).status).toBe(201);
    const twice = await post('/v1/agents', { agent_id: 'bob' });
    expect(twice.status).toBe(409);
    expect(await errorOf(twice)).toMatchObject({ code: 'AGENT_EXISTS' });
  });

  it.each([
    [{}, 'agent_id'],
    [{ agent_id: 'a/b' }, 'agent_id'],
    [{ agent_id: 'a', system: 1 }, 'system'],
    [{ agent_id: 'a', messages: [] }, 'messages'],
    [{ agent_id: 'a', prompt: 'b' }, 'prompt'],
  ])('are not made of %j', async (body, param) => {
    const { post, engine } = await start();
    expect(await errorOf(await post('/v1/agents', body))).toMatchObject({ code: 'INVALID_REQUEST', param });
    expect(engine.known.size).toBe(0);
  });

  it('are forked, once under each name', async () => {
    const { post } = await withAgent();
    const response = await post('/v1/agents/ann/fork', { agent_id: 'bob' });
    expect(response.status).toBe(201);
    expect(await response.json()).toEqual({ agent_id: 'bob', forked_from: 'ann' });
    expect(await errorOf(await post('/v1/agents/ann/fork', { agent_id: 'bob' }))).toMatchObject({
      code: 'AGENT_EXISTS',
    });
    expect(await errorOf(await post('/v1/agents/ann/fork', { agent_id: 'b/b' }))).toMatchObject({
      param: 'agent_id',
    });
    expect(await errorOf(await post('/v1/agents/ann/fork', {}))).toMatchObject({ param: 'agent_id' });
  });

  it('are saved, evicted and loaded, without a body or with an empty one', async () => {
    const { post, url } = await withAgent();
    expect((await fetch(`${url}/v1/agents/ann/save`, { method: 'POST' })).status).toBe(200);
    const evicted = await post('/v1/agents/ann/evict', {});
    expect(await evicted.json()).toMatchObject({ agent_id: 'ann', tier: 'warm' });
    const loaded = await post('/v1/agents/ann/load', {});
    expect(await loaded.json()).toMatchObject({ agent_id: 'ann', tier: 'hot' });
    expect((await post('/v1/agents/ann/evict', { now: true })).status).toBe(400);
  });

  it.each([
    'GET /v1/agents/eve',
    'DELETE /v1/agents/eve',
    'POST /v1/agents/eve/save',
    'POST /v1/agents/eve/evict',
    'POST /v1/agents/eve/load',
  ])('that do not exist are 404: %s', async (line) => {
    const { url } = await start();
    const [method = '', path = ''] = line.split(' ');
    const response = await fetch(url + path, { method });
    expect(response.status).toBe(404);
    expect((await errorOf(response)).code).toBe('AGENT_NOT_FOUND');
  });

  it.each(['a%2Fb', '..%2f..%2fetc', '%20', 'x'.repeat(129), '.x', '%00'])(
    'cannot be called %s',
    async (id) => {
      const { get, post } = await start();
      expect((await errorOf(await get(`/v1/agents/${id}`))).code).toBe('INVALID_REQUEST');
      expect((await post(`/v1/agents/${id}/generate`, { message: 'Hi' })).status).toBe(400);
    },
  );
});

describe('the models', () => {
  it('are the one that is served, under its names', async () => {
    const { get, post } = await start({ model: 'owner/tiny', aliases: ['small'] });
    const list = (await (await get('/v1/models')).json()) as { object: string; data: unknown[] };
    expect(list).toMatchObject({
      object: 'list',
      data: [{ id: 'owner/tiny', object: 'model', owned_by: 'stomp-serve' }],
    });
    for (const name of ['owner/tiny', 'small']) {
      expect(await (await get(`/v1/models/${name}`)).json()).toEqual(list.data[0]);
      const body = { model: name, messages: [{ role: 'user', content: 'Hi' }] };
      expect(((await (await post('/v1/chat/completions', body)).json()) as { model: string }).model).toBe(
        'owner/tiny',
      );
    }
    const missing = await get('/v1/models/other');
    expect(missing.status).toBe(404);
    expect(await errorOf(missing)).toMatchObject({ code: 'MODEL_NOT_FOUND', param: 'model' });
  });
});
