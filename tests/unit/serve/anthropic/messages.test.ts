import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { StompError } from '../../../../ts/errors.js';
import { start } from '../harness.js';
import { type AnthropicError, base, call, namedEvents, path, text, thought, weather } from './wire.js';

const usage = (input: number, read: number, output: number) => ({
  input_tokens: input,
  cache_creation_input_tokens: 0,
  cache_read_input_tokens: read,
  cache_creation: { ephemeral_5m_input_tokens: 0, ephemeral_1h_input_tokens: 0 },
  output_tokens: output,
  output_tokens_details: null,
  server_tool_use: null,
  service_tier: 'standard',
  inference_geo: null,
  speed: null,
});

const sha = (said: string) => createHash('sha256').update(said).digest('base64');

describe('a whole answer', () => {
  it('has the shape of Anthropic; the agent is in a header', async () => {
    const { engine, post } = await start();
    engine.script = { usage: { promptTokens: 9, cachedTokens: 5, ownTokens: 5 } };
    const response = await post(`${path}?beta=true`, base, { 'anthropic-version': '2023-06-01' });
    expect(response.status).toBe(200);
    expect(response.headers.get('x-agent-id')).toMatch(/^[0-9a-f]{16}$/);
    expect(response.headers.get('request-id')).toBe(response.headers.get('x-request-id'));
    expect(await response.json()).toEqual({
      id: expect.stringMatching(/^msg_[0-9a-f]{32}$/),
      type: 'message',
      role: 'assistant',
      model: 'tiny',
      container: null,
      diagnostics: null,
      stop_details: null,
      content: [{ type: 'text', text: 'Hello there!', citations: null }],
      stop_reason: 'end_turn',
      stop_sequence: null,
      usage: { ...usage(4, 5, 3), cache_miss_reason: null },
    });
  });

  it('holds thought, text and calls in this order', async () => {
    const { engine, post } = await start();
    engine.script = {
      pieces: [
        thought('Where?'),
        text('I look.'),
        ...call(0, 'call_1', 'get_weather', '{"location"', ':"SF"}'),
      ],
    };
    const body = { ...base, tools: [weather], thinking: { type: 'adaptive' } };
    const answer = (await (await post(path, body)).json()) as Record<string, unknown>;
    expect(answer.content).toEqual([
      { type: 'thinking', thinking: 'Where?', signature: sha('Where?') },
      { type: 'text', text: 'I look.', citations: null },
      {
        type: 'tool_use',
        id: 'call_1',
        name: 'get_weather',
        input: { location: 'SF' },
        caller: { type: 'direct' },
      },
    ]);
    expect(answer.stop_reason).toBe('tool_use');
  });

  it.each([
    ['{"location": "S', { INVALID_JSON: '{"location": "S' }],
    ['', {}],
  ])('gives the arguments %j as %j', async (written, input) => {
    const { engine, post } = await start();
    engine.script = { pieces: call(0, 'call_1', 'get_weather', written), finishReason: 'length' };
    const answer = await (await post(path, { ...base, tools: [weather] })).json();
    expect(answer).toMatchObject({ content: [{ type: 'tool_use', input }] });
  });

  it.each([
    [{ finishReason: 'stop' }, 'end_turn', null],
    [{ finishReason: 'stop', stopText: 'END' }, 'stop_sequence', 'END'],
    [{ finishReason: 'length', usage: { generatedTokens: 100 } }, 'max_tokens', null],
    [{ finishReason: 'length', usage: { generatedTokens: 99 } }, 'model_context_window_exceeded', null],
    [{ finishReason: 'tool_calls' }, 'tool_use', null],
  ] as const)('says of %j that it ended by %s', async (script, stop_reason, stop_sequence) => {
    const { engine, post } = await start();
    engine.script = script;
    expect(await (await post(path, base)).json()).toMatchObject({ stop_reason, stop_sequence });
  });

  it('shows no thought to a client that asked for none, and only the mark of one that is to be omitted', async () => {
    const { engine, post } = await start();
    engine.script = { pieces: [thought('Hm.'), text('Yes')] };
    const blocks = async (thinking: object | undefined) =>
      ((await (await post(path, { ...base, thinking })).json()) as { content: object[] }).content;
    expect(await blocks(undefined)).toEqual([{ type: 'text', text: 'Yes', citations: null }]);
    expect(await blocks({ type: 'disabled' })).toHaveLength(1);
    expect(await blocks({ type: 'adaptive', display: 'omitted' })).toEqual([
      { type: 'thinking', thinking: '', signature: sha('Hm.') },
      { type: 'text', text: 'Yes', citations: null },
    ]);
  });

  it('says why less was cached than hoped, and that no edit was applied', async () => {
    const { engine, post } = await start();
    engine.script = { usage: { missReason: 'the prefix changed' } };
    const edits = [{ type: 'clear_thinking_20251015', keep: 'all' }];
    expect(await (await post(path, { ...base, context_management: { edits } })).json()).toMatchObject({
      context_management: { applied_edits: [] },
      usage: { cache_miss_reason: 'the prefix changed' },
    });
  });
});

const start0 = (content_block: object) => ({ type: 'content_block_start', index: 0, content_block });
const delta = (index: number, inner: object) => ({ type: 'content_block_delta', index, delta: inner });
const stop = (index: number) => ({ type: 'content_block_stop', index });
const ended = (stop_reason: string, output: number) => ({
  type: 'message_delta',
  delta: { container: null, stop_details: null, stop_reason, stop_sequence: null },
  usage: { ...usage(7, 0, output), cache_miss_reason: null },
});

describe('a stream', () => {
  it('of text: start of message and block, ping, deltas, stop of block, delta and stop of message', async () => {
    const { post } = await start();
    const response = await post(path, { ...base, stream: true });
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    expect(response.headers.get('request-id')).toMatch(/^req_/);
    const [first, ...rest] = await namedEvents(response);
    expect(first).toEqual({
      event: 'message_start',
      data: {
        type: 'message_start',
        message: {
          id: expect.stringMatching(/^msg_[0-9a-f]{32}$/),
          type: 'message',
          role: 'assistant',
          model: 'tiny',
          container: null,
          diagnostics: null,
          stop_details: null,
          content: [],
          stop_reason: null,
          stop_sequence: null,
          usage: usage(7, 0, 0),
        },
      },
    });
    expect(rest.map(({ data }) => data)).toEqual([
      start0({ type: 'text', text: '', citations: null }),
      { type: 'ping' },
      delta(0, { type: 'text_delta', text: 'Hello' }),
      delta(0, { type: 'text_delta', text: ' there' }),
      delta(0, { type: 'text_delta', text: '!' }),
      stop(0),
      ended('end_turn', 3),
      { type: 'message_stop' },
    ]);
    expect(rest.every(({ event, data }) => event === data.type)).toBe(true);
  });

  it('of a text and a call: the arguments come as pieces of JSON', async () => {
    const { engine, post } = await start();
    engine.script = {
      pieces: [
        text('Okay'),
        text(', let me see'),
        ...call(0, 'call_1', 'get_weather', '{"location":', ' "San', ' Francisco"}'),
        ...call(1, 'call_2', 'get_time'),
      ],
    };
    const events = await namedEvents(await post(path, { ...base, stream: true, tools: [weather] }));
    const use = (index: number, id: string, name: string) => ({
      type: 'content_block_start',
      index,
      content_block: { type: 'tool_use', id, name, input: {}, caller: { type: 'direct' } },
    });
    expect(events.slice(1).map(({ data }) => data)).toEqual([
      start0({ type: 'text', text: '', citations: null }),
      { type: 'ping' },
      delta(0, { type: 'text_delta', text: 'Okay' }),
      delta(0, { type: 'text_delta', text: ', let me see' }),
      stop(0),
      use(1, 'call_1', 'get_weather'),
      delta(1, { type: 'input_json_delta', partial_json: '' }),
      delta(1, { type: 'input_json_delta', partial_json: '{"location":' }),
      delta(1, { type: 'input_json_delta', partial_json: ' "San' }),
      delta(1, { type: 'input_json_delta', partial_json: ' Francisco"}' }),
      stop(1),
      use(2, 'call_2', 'get_time'),
      delta(2, { type: 'input_json_delta', partial_json: '' }),
      stop(2),
      ended('tool_use', 7),
      { type: 'message_stop' },
    ]);
  });

  it('of a thought: it ends with its signature', async () => {
    const { engine, post } = await start();
    engine.script = { pieces: [thought('27 * 453'), thought(' = 12231'), text('12231')] };
    const thinking = { type: 'enabled', budget_tokens: 50 };
    const events = await namedEvents(await post(path, { ...base, stream: true, thinking }));
    expect(events.slice(1).map(({ data }) => data)).toEqual([
      start0({ type: 'thinking', thinking: '', signature: '' }),
      { type: 'ping' },
      delta(0, { type: 'thinking_delta', thinking: '27 * 453' }),
      delta(0, { type: 'thinking_delta', thinking: ' = 12231' }),
      delta(0, { type: 'signature_delta', signature: sha('27 * 453 = 12231') }),
      stop(0),
      { type: 'content_block_start', index: 1, content_block: { type: 'text', text: '', citations: null } },
      delta(1, { type: 'text_delta', text: '12231' }),
      stop(1),
      ended('end_turn', 3),
      { type: 'message_stop' },
    ]);
  });

  it('shows of omitted thoughts the signature alone, and nothing of those nobody asked for', async () => {
    const { engine, post } = await start();
    engine.script = { pieces: [thought('Hm.'), text('Yes')] };
    const kinds = async (thinking: object | undefined) => {
      const events = await namedEvents(await post(path, { ...base, stream: true, thinking }));
      return events.flatMap(({ data }) => (data.delta as { type?: string } | undefined)?.type ?? []);
    };
    expect(await kinds({ type: 'adaptive', display: 'omitted' })).toEqual(['signature_delta', 'text_delta']);
    expect(await kinds(undefined)).toEqual(['text_delta']);
  });

  it('has no block when nothing was said', async () => {
    const { engine, post } = await start();
    engine.script = { pieces: [] };
    const events = await namedEvents(await post(path, { ...base, stream: true }));
    expect(events.map(({ event }) => event)).toEqual(['message_start', 'message_delta', 'message_stop']);
  });

  it('gets an ordinary status for what fails before the first token', async () => {
    const { engine, post } = await start();
    engine.script = { failAt: 0, failure: new StompError('QUEUE_FULL', 'Too many wait.') };
    const response = await post(path, { ...base, stream: true });
    expect(response.status).toBe(429);
    expect(response.headers.get('retry-after')).toBe('1');
    expect(await response.json()).toMatchObject({ error: { type: 'rate_limit_error', code: 'QUEUE_FULL' } });
  });

  it('ends with an error event, and without message_stop, when it fails later', async () => {
    const { engine, post } = await start();
    engine.script = { failAt: 2, failure: new StompError('GENERATION_FAILED', 'A step failed.') };
    const response = await post(path, { ...base, stream: true });
    const events = await namedEvents(response);
    expect(events.at(-1)).toEqual({
      event: 'error',
      data: {
        type: 'error',
        error: {
          type: 'api_error',
          message: 'A step failed.',
          code: 'GENERATION_FAILED',
          details: { error_code: 'GENERATION_FAILED' },
        },
        request_id: response.headers.get('request-id'),
      },
    });
    expect(events.some(({ event }) => event === 'message_stop')).toBe(false);
  });
});

describe('an error', () => {
  it.each([
    ['INVALID_REQUEST', 400, 'invalid_request_error'],
    ['UNAUTHORIZED', 401, 'authentication_error'],
    ['FORBIDDEN', 403, 'permission_error'],
    ['MODEL_NOT_FOUND', 404, 'not_found_error'],
    ['INCOMPATIBLE_CACHE', 409, 'invalid_request_error'],
    ['POOL_EXHAUSTED', 429, 'rate_limit_error'],
    ['INTERNAL_ERROR', 500, 'api_error'],
    ['MODEL_SWAP', 503, 'overloaded_error'],
    ['CACHE_PERSISTENCE', 507, 'api_error'],
  ] as const)('%s is a %i of the type %s', async (code, status, type) => {
    const { engine, post } = await start();
    engine.script = { refusal: new StompError(code, 'No.', { fields: { allowed: 3 } }) };
    const response = await post(path, base);
    expect(response.status).toBe(status);
    const body = (await response.json()) as AnthropicError;
    expect(body).toEqual({
      type: 'error',
      error: { type, message: 'No.', code, details: { allowed: 3, error_code: code } },
      request_id: response.headers.get('request-id'),
    });
  });

  it('has the same shape for what is no JSON, too large, another method, or a path that is not served', async () => {
    const { post, get } = await start({ bodyLimitBytes: 300 });
    const responses = await Promise.all([
      post(path, '{'),
      post(path, { ...base, system: 'x'.repeat(400) }),
      get(path),
      post(`${path}/batches`, {}),
    ]);
    const bodies = await Promise.all(
      responses.map(async (response) => {
        const { type, error } = (await response.json()) as AnthropicError;
        return [response.status, type, error.type];
      }),
    );
    expect(bodies).toEqual([
      [400, 'error', 'invalid_request_error'],
      [413, 'error', 'request_too_large'],
      [405, 'error', 'invalid_request_error'],
      [404, 'error', 'not_found_error'],
    ]);
  });

  it('says of a prompt that is too long how long it is, in the words that agents look for', async () => {
    const { engine, post } = await start();
    const fields = { promptTokens: 20_135, contextTokens: 8192 };
    engine.script = { refusal: new StompError('CONTEXT_OVERFLOW', 'Shorten it.', { fields }) };
    const body = (await (await post(path, base)).json()) as AnthropicError;
    expect(body.error.message).toMatch(/^prompt is too long: 20135 tokens > 8192 maximum\. Shorten it\.$/);
  });

  it('is said of a model that is not served', async () => {
    const { post } = await start();
    const response = await post(path, { ...base, model: 'claude-opus-4-8' });
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({
      error: { type: 'not_found_error', code: 'MODEL_NOT_FOUND', details: { allowed: 'tiny' } },
    });
  });
});

describe('counting tokens', () => {
  it('counts what would be the prompt, tools and all', async () => {
    const { engine, post } = await start();
    const body = { model: 'tiny', system: 'Be kind.', messages: base.messages, tools: [weather] };
    const response = await post(`${path}/count_tokens?beta=true`, body);
    await post(path, { ...body, max_tokens: 5 });
    const { input, options } = engine.calls[0] ?? { input: [], options: {} };
    const { maxTokens: _, signal: __, ...prompt } = options;
    expect(await response.json()).toEqual({ input_tokens: JSON.stringify([input, prompt]).length });
    expect(engine.calls).toHaveLength(1);
  });

  it('counts for the agent that is named, and refuses one that cannot be', async () => {
    const { engine, post } = await start();
    const body = { model: 'tiny', messages: base.messages };
    const counted = async (headers: Record<string, string>) =>
      (await (await post(`${path}/count_tokens`, body, headers)).json()) as Record<string, unknown>;
    const options = { reasoning: { enabled: false }, agentId: 'ann' };
    const expected = { input_tokens: await engine.countTokens(base.messages as never, options as never) };
    expect(await counted({ 'x-agent-id': 'ann', 'x-session-id': 'other' })).toEqual(expected);
    expect(await counted({ 'x-session-id': 'ann' })).toEqual(expected);
    expect(await counted({ 'x-agent-id': '../ann' })).toMatchObject({ error: { code: 'INVALID_REQUEST' } });
  });

  it('refuses what it does not know in the same shape', async () => {
    const { post } = await start();
    const response = await post(`${path}/count_tokens`, { ...base });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({
      type: 'error',
      error: { type: 'invalid_request_error', details: { field: 'max_tokens' } },
    });
  });
});
