import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { errorOf, hello, start } from './harness.js';

const path = '/v1/chat/completions';

const bodies: [name: string, body: unknown, code: string, param: string | null][] = [
  ['text', 'hello', 'INVALID_REQUEST', 'body'],
  ['nothing', '', 'INVALID_REQUEST', 'body'],
  ['half an object', '{"messages": [', 'INVALID_REQUEST', 'body'],
  ['a list', [], 'INVALID_REQUEST', 'body'],
  ['a number', '7', 'INVALID_REQUEST', 'body'],
  ['null', 'null', 'INVALID_REQUEST', 'body'],
  ['no messages', {}, 'INVALID_REQUEST', 'messages'],
  ['messages as a text', { messages: 'hi' }, 'INVALID_REQUEST', 'messages'],
  ['no message', { messages: [] }, 'INVALID_REQUEST', 'messages'],
  ['a message that is a text', { messages: ['hi'] }, 'INVALID_REQUEST', 'messages[0]'],
  ['a message without a role', { messages: [{ content: 'hi' }] }, 'INVALID_REQUEST', 'messages[0].role'],
  ['an unknown role', { messages: [{ role: 'boss', content: '' }] }, 'INVALID_REQUEST', 'messages[0].role'],
  [
    'a tool message that answers nothing',
    { messages: [{ role: 'tool', content: '' }] },
    'INVALID_REQUEST',
    'messages[0].tool_call_id',
  ],
  [
    'a message of a function',
    { messages: [{ role: 'function', name: 'f', content: '' }] },
    'UNSUPPORTED_FIELD',
    'messages[0].role',
  ],
  [
    'the answer of a tool from a user',
    { messages: [{ role: 'user', content: '', tool_call_id: 'c' }] },
    'INVALID_REQUEST',
    'messages[0].tool_call_id',
  ],
  [
    'calls of a user',
    { messages: [{ role: 'user', content: '', tool_calls: [{ id: '1' }] }] },
    'UNSUPPORTED_FIELD',
    'messages[0].tool_calls',
  ],
  ['no content', { messages: [{ role: 'user' }] }, 'INVALID_REQUEST', 'messages[0].content'],
  [
    'content as a number',
    { messages: [{ role: 'user', content: 1 }] },
    'INVALID_REQUEST',
    'messages[0].content',
  ],
  [
    'an image',
    { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'x' } }] }] },
    'UNSUPPORTED_FIELD',
    'messages[0].content[0].type',
  ],
  [
    'a call of nothing',
    { messages: [{ role: 'assistant', content: '', tool_calls: [{ id: '1' }] }] },
    'INVALID_REQUEST',
    'messages[0].tool_calls[0].function',
  ],
  [
    'arguments that are no text',
    { messages: [callOf({ name: 'f', arguments: {} })] },
    'INVALID_REQUEST',
    'messages[0].tool_calls[0].function.arguments',
  ],
  [
    'a call of a custom tool',
    { messages: [{ role: 'assistant', tool_calls: [{ id: '1', type: 'custom', custom: {} }] }] },
    'UNSUPPORTED_FIELD',
    'messages[0].tool_calls[0].type',
  ],
  [
    'an answer that says nothing',
    { messages: [{ role: 'assistant', content: null }] },
    'INVALID_REQUEST',
    'messages[0].content',
  ],
  [
    'an unknown field in a message',
    { messages: [{ role: 'user', content: '', colour: 1 }] },
    'INVALID_REQUEST',
    'messages[0].colour',
  ],
  ['an unknown field', { messages: hello, temprature: 1 }, 'INVALID_REQUEST', 'temprature'],
  [
    'a field named __proto__',
    '{"messages":[{"role":"user","content":"x"}],"__proto__":{"n":1}}',
    'INVALID_REQUEST',
    '__proto__',
  ],
  ['a field named constructor', { messages: hello, constructor: 1 }, 'INVALID_REQUEST', 'constructor'],
  ['a tool that is nothing', withTools([{ type: 'function' }]), 'INVALID_REQUEST', 'tools[0].function'],
  ['a tool without a name', withTools([tool()]), 'INVALID_REQUEST', 'tools[0].function.name'],
  ['a tool with spaces', withTools([tool('a b')]), 'INVALID_REQUEST', 'tools[0].function.name'],
  ['two tools of one name', withTools([tool('f'), tool('f')]), 'INVALID_REQUEST', 'tools[1].function.name'],
  ['too many tools', withTools(Array(513).fill(tool('f'))), 'INVALID_REQUEST', 'tools'],
  ['a custom tool', withTools([{ type: 'custom', custom: {} }]), 'UNSUPPORTED_FIELD', 'tools[0].type'],
  [
    'parameters that are no schema',
    withTools([{ type: 'function', function: { name: 'f', parameters: [] } }]),
    'INVALID_REQUEST',
    'tools[0].function.parameters',
  ],
  [
    'a forced call without tools',
    { messages: hello, tool_choice: 'required' },
    'INVALID_REQUEST',
    'tool_choice',
  ],
  ['an unknown choice', withTools([tool('f')], 'any'), 'INVALID_REQUEST', 'tool_choice'],
  [
    'a choice that is not there',
    withTools([tool('f')], tool('g')),
    'INVALID_REQUEST',
    'tool_choice.function.name',
  ],
  [
    'a custom choice',
    withTools([tool('f')], { type: 'custom', custom: { name: 'f' } }),
    'UNSUPPORTED_FIELD',
    'tool_choice.type',
  ],
  [
    'an allowed tool that is not there',
    withTools([tool('f')], { type: 'allowed_tools', allowed_tools: { mode: 'auto', tools: [tool('g')] } }),
    'INVALID_REQUEST',
    'tool_choice.allowed_tools.tools[0].function.name',
  ],
  ['functions', { messages: hello, functions: [{ name: 'f' }] }, 'UNSUPPORTED_FIELD', 'functions'],
  [
    'a forced function',
    { messages: hello, function_call: { name: 'f' } },
    'UNSUPPORTED_FIELD',
    'function_call',
  ],
  ['no answers', { messages: hello, n: 0 }, 'INVALID_REQUEST', 'n'],
  ['too many answers', { messages: hello, n: 17 }, 'INVALID_REQUEST', 'n'],
  ['likeliest tokens alone', { messages: hello, top_logprobs: 2 }, 'INVALID_REQUEST', 'top_logprobs'],
  [
    'too many likeliest tokens',
    { messages: hello, logprobs: true, top_logprobs: 21 },
    'INVALID_REQUEST',
    'top_logprobs',
  ],
  ['an unknown format', withFormat({ type: 'xml' }), 'INVALID_REQUEST', 'response_format.type'],
  [
    'a format without its schema',
    withFormat({ type: 'json_schema' }),
    'INVALID_REQUEST',
    'response_format.json_schema',
  ],
  [
    'a schema without a name',
    withFormat({ type: 'json_schema', json_schema: { schema: {} } }),
    'INVALID_REQUEST',
    'response_format.json_schema.name',
  ],
  [
    'a name without a schema',
    withFormat({ type: 'json_schema', json_schema: { name: 'f' } }),
    'INVALID_REQUEST',
    'response_format.json_schema.schema',
  ],
  ['an unknown effort', { messages: hello, reasoning_effort: 'some' }, 'INVALID_REQUEST', 'reasoning_effort'],
  ['a bias of words', { messages: hello, logit_bias: { hello: 1 } }, 'INVALID_REQUEST', 'logit_bias'],
  ['a large bias', { messages: hello, logit_bias: { 5: 101 } }, 'INVALID_REQUEST', 'logit_bias'],
  ['a bias as a list', { messages: hello, logit_bias: [1] }, 'INVALID_REQUEST', 'logit_bias'],
  [
    'more biases than the engine takes',
    { messages: hello, logit_bias: Object.fromEntries(Array.from({ length: 1025 }, (_, id) => [id, 1])) },
    'INVALID_REQUEST',
    'logit_bias',
  ],
  ['a priority that there is not', { messages: hello, priority: 'urgent' }, 'INVALID_REQUEST', 'priority'],
  ['a long salt', { messages: hello, cache_salt: 'x'.repeat(257) }, 'INVALID_REQUEST', 'cache_salt'],
  ['a large penalty', { messages: hello, presence_penalty: 2.1 }, 'INVALID_REQUEST', 'presence_penalty'],
  ['storing', { messages: hello, store: true }, 'UNSUPPORTED_FIELD', 'store'],
  ['a hot temperature', { messages: hello, temperature: 2.1 }, 'INVALID_REQUEST', 'temperature'],
  ['a temperature as text', { messages: hello, temperature: '1' }, 'INVALID_REQUEST', 'temperature'],
  ['no tokens', { messages: hello, max_tokens: 0 }, 'INVALID_REQUEST', 'max_tokens'],
  ['half a token', { messages: hello, max_tokens: 1.5 }, 'INVALID_REQUEST', 'max_tokens'],
  [
    'two limits',
    { messages: hello, max_tokens: 1, max_completion_tokens: 2 },
    'INVALID_REQUEST',
    'max_tokens',
  ],
  ['a top_p of zero', { messages: hello, top_p: 0 }, 'INVALID_REQUEST', 'top_p'],
  ['a negative seed', { messages: hello, seed: -1 }, 'INVALID_REQUEST', 'seed'],
  ['an empty stop', { messages: hello, stop: '' }, 'INVALID_REQUEST', 'stop'],
  ['many stops', { messages: hello, stop: Array(17).fill('x') }, 'INVALID_REQUEST', 'stop'],
  ['a stop that is a number', { messages: hello, stop: [1] }, 'INVALID_REQUEST', 'stop'],
  ['stream as text', { messages: hello, stream: 'yes' }, 'INVALID_REQUEST', 'stream'],
  [
    'stream options without a stream',
    { messages: hello, stream_options: {} },
    'INVALID_REQUEST',
    'stream_options',
  ],
  [
    'an unknown stream option',
    { messages: hello, stream: true, stream_options: { usage: true } },
    'INVALID_REQUEST',
    'stream_options.usage',
  ],
  ['a session with a slash', { messages: hello, session_id: 'a/b' }, 'INVALID_REQUEST', 'session_id'],
  ['another model', { messages: hello, model: 'gpt-4o' }, 'MODEL_NOT_FOUND', 'model'],
  ['deep nesting', `{"messages":${'['.repeat(70)}${']'.repeat(70)}}`, 'INVALID_REQUEST', 'body'],
];

function tool(name?: string): object {
  return { type: 'function', function: { name } };
}

function withTools(tools: unknown, choice?: unknown): object {
  return { messages: hello, tools, tool_choice: choice };
}

function withFormat(format: object): object {
  return { messages: hello, response_format: format };
}

function callOf(called: object): object {
  return { role: 'assistant', tool_calls: [{ id: '1', type: 'function', function: called }] };
}

describe('a bad body is refused by name, and never with 5xx', () => {
  it.each(bodies)('%s', async (_, body, code, param) => {
    const { post, engine } = await start();
    const response = await post(path, body);
    expect(response.status).toBeGreaterThanOrEqual(400);
    expect(response.status).toBeLessThan(500);
    expect(response.headers.get('x-request-id')).toMatch(/^req_/);
    const error = await errorOf(response);
    expect(error).toMatchObject({ code, param, type: 'invalid_request_error', message: expect.any(String) });
    expect(engine.calls).toEqual([]);
  });
});

it('lets values through that ask for nothing', async () => {
  const { post } = await start();
  const response = await post(path, {
    messages: hello,
    n: 1,
    tools: null,
    tool_choice: 'auto',
    logprobs: false,
    logit_bias: {},
    presence_penalty: 0,
    frequency_penalty: 0,
    response_format: { type: 'text' },
    store: false,
    metadata: {},
    user: 'ann',
    parallel_tool_calls: true,
    service_tier: 'auto',
    stop: null,
    seed: null,
  });
  expect(response.status).toBe(200);
});

it('suggests the field that was meant', async () => {
  const { post } = await start();
  const error = await errorOf(await post(path, { messages: hello, max_token: 5 }));
  expect(error.message).toContain('Did you mean "max_tokens"?');
});

it('a field that is not served is not offered in the place of an unknown one', async () => {
  const { post } = await start();
  const error = await errorOf(await post(path, { messages: hello, wrong: 5 }));
  const { allowed } = error.fields as { allowed: string };
  expect(allowed).toContain('max_tokens');
  expect(allowed).not.toContain('audio');
});

describe('the transport', () => {
  it('refuses a body over the limit with 413', async () => {
    const { post } = await start();
    const response = await post(path, { messages: [{ role: 'user', content: 'x'.repeat(32 << 20) }] });
    expect(response.status).toBe(413);
    expect((await errorOf(response)).code).toBe('PAYLOAD_TOO_LARGE');
  });

  it('takes a body just under it', async () => {
    const { post } = await start();
    const response = await post(path, {
      messages: [{ role: 'user', content: 'x'.repeat((32 << 20) - 1000) }],
    });
    expect(response.status).toBe(200);
  });

  it.each(['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x'])(
    'refuses %s with 415',
    async (type) => {
      const { post } = await start();
      const response = await post(path, '{}', { 'content-type': type });
      expect(response.status).toBe(415);
      expect((await errorOf(response)).code).toBe('UNSUPPORTED_MEDIA_TYPE');
    },
  );

  it.each(['/', '/v1', '/v1/nothing', '/v1/agents/a/b', '/v2/chat/completions'])(
    'knows no %s',
    async (unknown) => {
      const { get } = await start();
      const response = await get(unknown);
      expect(response.status).toBe(404);
      expect(await errorOf(response)).toMatchObject({ code: 'NOT_FOUND', type: 'invalid_request_error' });
    },
  );

  it.each([
    ['GET', path, 'POST'],
    ['PUT', path, 'POST'],
    ['POST', '/v1/models', 'GET, HEAD'],
    ['PATCH', '/v1/agents/a', 'GET, DELETE, HEAD'],
    ['GET', '/v1/agents/a/generate', 'POST'],
    ['DELETE', '/health/live', 'GET, HEAD'],
    ['OPTIONS', path, 'POST'],
  ])('refuses %s %s with 405 and says %s', async (method, url, allow) => {
    const server = await start();
    const response = await fetch(server.url + url, { method });
    expect(response.status).toBe(405);
    expect(response.headers.get('allow')).toBe(allow);
    expect((await errorOf(response)).code).toBe('METHOD_NOT_ALLOWED');
  });

  it('refuses a path that does not decode', async () => {
    const { get } = await start();
    const response = await get('/v1/agents/%ff');
    expect(response.status).toBe(400);
    expect((await errorOf(response)).code).toBe('INVALID_REQUEST');
  });

  it.each([
    ['not HTTP', 'HELLO\r\n\r\n', 'HTTP/1.1 400'],
    ['endless headers', `GET / HTTP/1.1\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`, 'HTTP/1.1 431'],
    ['a host of somebody else', 'GET /v1/models HTTP/1.1\r\nHost: evil.example\r\n\r\n', 'HTTP/1.1 403'],
    ['an empty host', 'GET /v1/models HTTP/1.1\r\nHost:\r\n\r\n', 'HTTP/1.1 403'],
    ['no host', 'GET /v1/models HTTP/1.1\r\n\r\n', 'HTTP/1.1 400'],
    ['two hosts', 'GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n', 'HTTP/1.1 400'],
  ])('answers %s', async (_, bytes, expected) => {
    const { port } = await start();
    const socket = connect(port, '127.0.0.1');
    const answer = new Promise<string>((resolve, reject) => {
      socket.once('data', (data) => resolve(data.toString()));
      socket.once('error', reject);
    });
    socket.write(bytes);
    const text = await answer;
    socket.destroy();
    expect(text).toContain(expected);
    expect(text).toContain('"error":{"message"');
  });
});

describe('web pages', () => {
  it.each(['https://evil.example', 'null', 'http://localhost.evil.example'])(
    'of %s are kept out',
    async (origin) => {
      const { get, post } = await start();
      expect((await errorOf(await get('/v1/agents', { origin }))).code).toBe('FORBIDDEN');
      expect((await post('/v1/agents/a/evict', '', { origin })).status).toBe(403);
    },
  );

  it.each(['http://localhost:3000', 'http://127.0.0.1', 'http://[::1]:5173'])(
    'of %s are let in',
    async (origin) => {
      const { get } = await start();
      expect((await get('/v1/agents', { origin })).status).toBe(200);
    },
  );
});

describe('request ids', () => {
  it('are kept when they are harmless', async () => {
    const { get } = await start();
    expect((await get('/v1/models', { 'x-request-id': 'abc-1' })).headers.get('x-request-id')).toBe('abc-1');
    expect((await get('/nowhere', { 'x-request-id': 'abc-2' })).headers.get('x-request-id')).toBe('abc-2');
  });

  it.each(['', 'a b', '{"x":1}', 'x'.repeat(129)])('are replaced when they are %j', async (id) => {
    const { get } = await start();
    expect((await get('/v1/models', { 'x-request-id': id })).headers.get('x-request-id')).toMatch(/^req_/);
  });
});

it('says nothing of an unexpected failure on the wire, and everything in the log', async () => {
  const { get, engine, log } = await start();
  engine.agents = () => Promise.reject(new TypeError('a secret detail'));
  const response = await get('/v1/agents');
  expect(response.status).toBe(500);
  const error = await errorOf(response);
  expect(error).toMatchObject({ code: 'GENERATION_FAILED', type: 'server_error' });
  expect(JSON.stringify(error)).not.toContain('secret');
  expect(JSON.stringify(log)).toContain('a secret detail');
});
