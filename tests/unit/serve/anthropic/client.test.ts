/** The official client against the server, over real sockets. */
import Anthropic from '@anthropic-ai/sdk';
import { betaTool } from '@anthropic-ai/sdk/helpers/beta/json-schema';
import { describe, expect, it } from 'vitest';
import { StompError } from '../../../../ts/errors.js';
import { type Running, start, until } from '../harness.js';
import { call, text, thought, weather } from './wire.js';

const asked = {
  model: 'tiny',
  max_tokens: 1000,
  messages: [{ role: 'user' as const, content: 'Hello' }],
};
const tools = [{ ...weather, input_schema: { ...weather.input_schema, type: 'object' as const } }];

function client(running: Running, options: object = {}): Anthropic {
  return new Anthropic({ baseURL: running.url, apiKey: 'any', maxRetries: 0, ...options });
}

const answered = [
  thought('Look'),
  thought(' it up.'),
  text('I look'),
  text('.'),
  ...call(0, 'call_1', 'get_weather', '{"location": ', '"San Francisco"}'),
  ...call(1, 'call_2', 'get_weather', '{"location": "Oslo"}'),
];

const content = [
  expect.objectContaining({
    type: 'thinking',
    thinking: 'Look it up.',
    signature: expect.stringMatching(/./),
  }),
  expect.objectContaining({ type: 'text', text: 'I look.' }),
  expect.objectContaining({ type: 'tool_use', id: 'call_1', input: { location: 'San Francisco' } }),
  expect.objectContaining({ type: 'tool_use', id: 'call_2', input: { location: 'Oslo' } }),
];

describe("Anthropic's client", () => {
  it('creates a message', async () => {
    const running = await start();
    running.engine.script = { usage: { promptTokens: 12, cachedTokens: 9 } };
    const message = await client(running).messages.create(asked);
    expect(message.content).toEqual([{ type: 'text', text: 'Hello there!', citations: null }]);
    expect(message.stop_reason).toBe('end_turn');
    expect(message.usage).toMatchObject({ input_tokens: 3, cache_read_input_tokens: 9, output_tokens: 3 });
    expect(message._request_id).toMatch(/^req_/);
  });

  it('reads thoughts, text and calls whole', async () => {
    const running = await start();
    running.engine.script = { pieces: answered };
    const message = await client(running).messages.create({
      ...asked,
      tools,
      thinking: { type: 'adaptive' },
    });
    expect(message.content).toEqual(content);
    expect(message.stop_reason).toBe('tool_use');
  });

  it('gathers the same of a stream, piece by piece', async () => {
    const running = await start();
    running.engine.script = { pieces: answered, usage: { promptTokens: 12, cachedTokens: 9 } };
    const stream = client(running).messages.stream({ ...asked, tools, thinking: { type: 'adaptive' } });
    const heard = { text: '', thinking: '', json: '' };
    stream.on('text', (delta) => (heard.text += delta));
    stream.on('thinking', (delta) => (heard.thinking += delta));
    stream.on('inputJson', (delta) => (heard.json += delta));
    const message = await stream.finalMessage();
    expect(message.content).toEqual(content);
    expect(message.stop_reason).toBe('tool_use');
    expect(message.usage).toMatchObject({ input_tokens: 3, cache_read_input_tokens: 9, output_tokens: 9 });
    expect(heard).toEqual({
      text: 'I look.',
      thinking: 'Look it up.',
      json: '{"location": "San Francisco"}{"location": "Oslo"}',
    });
  });

  it('iterates over the events of a stream', async () => {
    const running = await start();
    const types: string[] = [];
    for await (const event of await client(running).messages.create({ ...asked, stream: true })) {
      types.push(event.type);
    }
    expect(types[0]).toBe('message_start');
    expect(types.at(-1)).toBe('message_stop');
  });

  it('sends a conversation with calls back as it came', async () => {
    const running = await start();
    running.engine.scripts.push({ pieces: answered });
    const anthropic = client(running);
    const options = { ...asked, tools, thinking: { type: 'adaptive' as const } };
    const first = await anthropic.messages.create(options);
    const results = first.content.flatMap((block) =>
      block.type === 'tool_use'
        ? [{ type: 'tool_result' as const, tool_use_id: block.id, content: 'Sunny' }]
        : [],
    );
    await anthropic.messages.create({
      ...options,
      messages: [
        ...asked.messages,
        { role: 'assistant', content: first.content },
        { role: 'user', content: results },
      ],
    });
    expect(running.engine.calls[1]?.input).toEqual([
      { role: 'user', content: 'Hello' },
      {
        role: 'assistant',
        content: 'I look.',
        reasoning: 'Look it up.',
        toolCalls: [
          { id: 'call_1', name: 'get_weather', arguments: '{"location":"San Francisco"}' },
          { id: 'call_2', name: 'get_weather', arguments: '{"location":"Oslo"}' },
        ],
      },
      { role: 'tool', name: 'get_weather', toolCallId: 'call_1', content: 'Sunny' },
      { role: 'tool', name: 'get_weather', toolCallId: 'call_2', content: 'Sunny' },
    ]);
  });

  it('runs tools until the answer is there', async () => {
    const running = await start();
    running.engine.scripts.push(
      { pieces: call(0, 'call_1', 'get_weather', '{"location":"Oslo"}') },
      { pieces: call(0, 'call_2', 'get_weather', '{"location":"Rome"}') },
      { pieces: [text('Rome is warmer.')] },
    );
    const places: string[] = [];
    const tool = betaTool({
      name: 'get_weather',
      description: 'Weather of a place',
      inputSchema: {
        type: 'object',
        properties: { location: { type: 'string' } },
        required: ['location'],
      } as const,
      run: ({ location }) => {
        places.push(location);
        return 'Sunny';
      },
    });
    const message = await client(running).beta.messages.toolRunner({ ...asked, tools: [tool] });
    expect(places).toEqual(['Oslo', 'Rome']);
    expect(message.content).toEqual([expect.objectContaining({ text: 'Rome is warmer.' })]);
  });

  it('counts tokens and lists models', async () => {
    const running = await start({ aliases: ['claude-*'] });
    const anthropic = client(running);
    const { model, messages } = asked;
    expect((await anthropic.messages.countTokens({ model, messages, tools })).input_tokens).toBeGreaterThan(
      10,
    );
    const models = await anthropic.models.list();
    expect(models.data.map(({ id, type, display_name }) => [id, type, display_name])).toEqual([
      ['tiny', 'model', 'Tiny'],
    ]);
    expect(models.hasNextPage()).toBe(false);
    const info = await anthropic.models.retrieve('claude-opus-4-8');
    expect(info).toMatchObject({
      id: 'tiny',
      max_input_tokens: 512,
      created_at: expect.stringMatching(/Z$/),
    });
  });

  it('reaches the model by an alias with a wildcard, and by no other name', async () => {
    const running = await start({ aliases: ['claude-*'] });
    const anthropic = client(running);
    expect((await anthropic.messages.create({ ...asked, model: 'claude-opus-4-8' })).model).toBe('tiny');
    await expect(anthropic.messages.create({ ...asked, model: 'gpt-claude-1' })).rejects.toThrow(
      Anthropic.NotFoundError,
    );
  });

  it('aborts a stream, and the generation ends', async () => {
    const running = await start();
    running.engine.script = { tokens: Array.from({ length: 1000 }, () => 'a'), tokenMs: 5 };
    const stream = client(running).messages.stream(asked);
    stream.on('text', () => stream.abort());
    await expect(stream.finalMessage()).rejects.toThrow(Anthropic.APIUserAbortError);
    await until(() => running.engine.cancelled === 1, 'the generation is cancelled');
  });

  it.each([
    ['INVALID_REQUEST', Anthropic.BadRequestError],
    ['UNAUTHORIZED', Anthropic.AuthenticationError],
    ['FORBIDDEN', Anthropic.PermissionDeniedError],
    ['MODEL_NOT_FOUND', Anthropic.NotFoundError],
    ['QUEUE_FULL', Anthropic.RateLimitError],
    ['GENERATION_FAILED', Anthropic.InternalServerError],
    ['MODEL_SWAP', Anthropic.APIError],
  ] as const)('throws its own error for %s, with our code', async (code, expected) => {
    const running = await start();
    running.engine.script = { refusal: new StompError(code, 'No.', { fields: { allowed: 8 } }) };
    const error = await client(running)
      .messages.create(asked)
      .catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(expected);
    expect(error).toMatchObject({
      apiMessage: 'No.',
      errorCode: code,
      details: { allowed: 8 },
      requestID: expect.stringMatching(/^req_/),
    });
  });

  it('throws when a stream fails in the middle', async () => {
    const running = await start();
    running.engine.script = { failAt: 1, failure: new StompError('GENERATION_FAILED', 'A step failed.') };
    const stream = client(running).messages.stream(asked);
    await expect(stream.finalMessage()).rejects.toThrow(/A step failed\./);
  });

  it.each(['QUEUE_FULL', 'MODEL_SWAP'] as const)(
    'tries again after %s, as Retry-After says',
    async (code) => {
      const running = await start();
      const refusal = new StompError(code, 'Later.', { fields: { retry_after_ms: 1 } });
      running.engine.scripts.push({ refusal }, { refusal });
      const message = await client(running, { maxRetries: 2 }).messages.create(asked);
      expect(message.stop_reason).toBe('end_turn');
      expect(running.engine.calls).toHaveLength(3);
    },
    20_000,
  );

  it('parses an answer that was given a form', async () => {
    const running = await start();
    running.engine.script = { tokens: ['{"city":', '"Oslo"}'] };
    const schema = { type: 'object', properties: { city: { type: 'string' } } };
    const message = await client(running).messages.create({
      ...asked,
      output_config: { format: { type: 'json_schema', schema } },
    });
    expect(message.content[0]).toMatchObject({ text: '{"city":"Oslo"}' });
    expect(running.engine.calls[0]?.options.responseFormat).toEqual({ type: 'json_schema', schema });
  });
});
