/** The official client with all its helpers, over real sockets. */
import OpenAI, { APIError, BadRequestError, ConflictError, NotFoundError, RateLimitError } from 'openai';
import { zodResponseFormat } from 'openai/helpers/zod';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { GenerationChunk } from '../../../../ts/engine/types.js';
import { StompError } from '../../../../ts/errors.js';
import { type Running, start, until } from '../harness.js';

const ask = [{ role: 'user' as const, content: 'Weather in Oslo and Rome?' }];
const weather = {
  type: 'function' as const,
  function: {
    name: 'get_weather',
    parameters: { type: 'object', properties: { city: { type: 'string' } } },
  },
};

function call(index: number, city: string): GenerationChunk[] {
  const [first = '', ...rest] = [...JSON.stringify({ city })];
  return [
    {
      type: 'tool_call',
      index,
      id: `call_${index}`,
      name: 'get_weather',
      arguments: first,
      tokens: [1],
    },
    ...rest.map((text) => ({ type: 'tool_call' as const, index, arguments: text, tokens: [2] })),
  ];
}

const twoCalls = [...call(0, 'Oslo'), ...call(1, 'Rome')];

async function connect(options: { maxRetries?: number } = {}): Promise<Running & { client: OpenAI }> {
  const running = await start();
  const client = new OpenAI({ baseURL: `${running.url}/v1`, apiKey: 'none', maxRetries: 0, ...options });
  return { ...running, client };
}

describe('the stream helper', () => {
  it('puts text together', async () => {
    const { client } = await connect();
    const stream = client.chat.completions.stream({ model: 'tiny', messages: ask });
    const pieces: string[] = [];
    stream.on('content', (piece) => pieces.push(piece));
    expect(await stream.finalContent()).toBe('Hello there!');
    expect(pieces).toEqual(['Hello', ' there', '!']);
    expect((await stream.finalChatCompletion()).choices[0]?.finish_reason).toBe('stop');
  });

  it('puts parallel calls together', async () => {
    const { client, engine } = await connect();
    engine.script = { pieces: twoCalls };
    const stream = client.chat.completions.stream({
      model: 'tiny',
      messages: ask,
      tools: [weather],
      stream_options: { include_usage: true },
    });
    const done: string[] = [];
    stream.on('tool_calls.function.arguments.done', (event) => done.push(event.arguments));
    const { choices, usage } = await stream.finalChatCompletion();
    const expected = [
      { id: 'call_0', type: 'function', function: { name: 'get_weather', arguments: '{"city":"Oslo"}' } },
      { id: 'call_1', type: 'function', function: { name: 'get_weather', arguments: '{"city":"Rome"}' } },
    ];
    expect(choices[0]?.message.tool_calls).toMatchObject(expected);
    expect(choices[0]?.message.content).toBeNull();
    expect(choices[0]?.finish_reason).toBe('tool_calls');
    expect(done).toEqual(expected.map((one) => one.function.arguments));
    expect(usage?.completion_tokens).toBe(twoCalls.length);
  });

  it('gathers log-probabilities and several choices', async () => {
    const { client, engine } = await connect();
    const logprobs = [{ token: 0x61, logprob: -0.5, top: [{ token: 0x62, logprob: -0.25 }] }];
    engine.script = { pieces: [{ type: 'text', text: 'a', tokens: [0x61], logprobs }] };
    const completion = await client.chat.completions
      .stream({ model: 'tiny', messages: ask, logprobs: true, top_logprobs: 1, n: 2 })
      .finalChatCompletion();
    expect(completion.choices.map((choice) => choice.message.content)).toEqual(['a', 'a']);
    expect(completion.choices[1]?.logprobs?.content).toEqual([
      {
        token: 'a',
        logprob: -0.5,
        bytes: [0x61],
        top_logprobs: [{ token: 'b', logprob: -0.25, bytes: [0x62] }],
      },
    ]);
  });
});

describe('the tool runner', () => {
  const runnable = (asked: string[]) => ({
    type: 'function' as const,
    function: {
      name: 'get_weather',
      parse: JSON.parse as (text: string) => { city: string },
      function: ({ city }: { city: string }) => {
        asked.push(city);
        return `Rain in ${city}`;
      },
      parameters: weather.function.parameters,
      description: 'Weather of a city',
    },
  });

  it.each([false, true])('calls tools and sends their answers back (stream: %s)', async (stream) => {
    const { client, engine } = await connect();
    engine.scripts.push({ pieces: twoCalls });
    engine.script = { tokens: ['Rain ', 'everywhere'] };
    const asked: string[] = [];
    const params = { model: 'tiny', messages: [...ask], tools: [runnable(asked)] };
    const runner = stream
      ? client.chat.completions.runTools({ ...params, stream: true })
      : client.chat.completions.runTools(params);
    expect(await runner.finalContent()).toBe('Rain everywhere');
    expect(asked).toEqual(['Oslo', 'Rome']);
    expect(engine.calls).toHaveLength(2);
    expect(engine.calls[1]?.input).toEqual([
      ...ask,
      {
        role: 'assistant',
        content: '',
        toolCalls: [
          { id: 'call_0', name: 'get_weather', arguments: '{"city":"Oslo"}' },
          { id: 'call_1', name: 'get_weather', arguments: '{"city":"Rome"}' },
        ],
      },
      { role: 'tool', toolCallId: 'call_0', content: 'Rain in Oslo' },
      { role: 'tool', toolCallId: 'call_1', content: 'Rain in Rome' },
    ]);
    expect(engine.calls[1]?.agentId).toBe(engine.calls[0]?.agentId);
  });
});

describe('structured output', () => {
  const Planet = z.object({ name: z.string(), moons: z.number() });

  it('is asked for by a schema and parsed', async () => {
    const { client, engine } = await connect();
    engine.script = { tokens: ['{"name":"Mars",', '"moons":2}'] };
    const request = {
      model: 'tiny',
      messages: ask,
      response_format: zodResponseFormat(Planet, 'planet'),
    };
    const { choices } = await client.chat.completions.parse(request);
    expect(choices[0]?.message.parsed).toEqual({ name: 'Mars', moons: 2 });
    expect(engine.calls[0]?.options.responseFormat).toMatchObject({
      type: 'json_schema',
      schema: { type: 'object', required: ['name', 'moons'] },
    });
    const streamed = await client.chat.completions.stream(request).finalChatCompletion();
    expect(streamed.choices[0]?.message.parsed).toEqual({ name: 'Mars', moons: 2 });
    // What was parsed may be sent back as it is.
    const message = choices[0]?.message;
    expect(message).toHaveProperty('parsed');
    await client.chat.completions.create({ model: 'tiny', messages: message ? [...ask, message] : [] });
    expect(engine.calls.at(-1)?.input).toHaveLength(2);
  });
});

describe('an abort', () => {
  it('of a stream reaches the engine', async () => {
    const { client, engine } = await connect();
    engine.script = { tokens: Array<string>(1000).fill('x'), tokenMs: 5 };
    const stream = await client.chat.completions.create({ model: 'tiny', messages: ask, stream: true, n: 2 });
    for await (const _ of stream) break;
    stream.controller.abort();
    await until(() => engine.cancelled === 2, 'both choices are cancelled');
  });

  it('of a whole answer reaches the engine', async () => {
    const { client, engine, server } = await connect();
    engine.script = { tokens: Array<string>(1000).fill('x'), tokenMs: 5 };
    const abort = new AbortController();
    const answer = client.chat.completions.create({ model: 'tiny', messages: ask }, { signal: abort.signal });
    await until(() => engine.calls.length === 1, 'the request arrives');
    abort.abort();
    await expect(answer).rejects.toThrow('aborted');
    await until(() => engine.cancelled === 1 && server.runningTurns === 0, 'the turn is over');
  });
});

describe('an error', () => {
  const failing = (code: StompError['code']) => ({ refusal: new StompError(code, 'As you see.') });

  it.each([
    ['INVALID_REQUEST', BadRequestError, 400, 'invalid_request_error'],
    ['CONTEXT_OVERFLOW', BadRequestError, 400, 'invalid_request_error'],
    ['MODEL_NOT_FOUND', NotFoundError, 404, 'invalid_request_error'],
    ['INCOMPATIBLE_CACHE', ConflictError, 409, 'invalid_request_error'],
    ['QUEUE_FULL', RateLimitError, 429, 'rate_limit_error'],
    ['GENERATION_FAILED', OpenAI.InternalServerError, 500, 'server_error'],
    ['MODEL_SWAP', OpenAI.InternalServerError, 503, 'server_error'],
  ] as const)('%s has its class, status, type and code', async (code, kind, status, type) => {
    const { client, engine } = await connect();
    engine.script = failing(code);
    for (const stream of [false, true]) {
      const answer = client.chat.completions.create({ model: 'tiny', messages: ask, stream });
      const error: unknown = await Promise.resolve(answer).catch((caught: unknown) => caught);
      expect(error).toBeInstanceOf(kind);
      expect(error).toMatchObject({ status, code, type, requestID: expect.stringMatching(/^req_/) });
    }
  });

  it('in the middle of a stream ends it, with code and text', async () => {
    const { client, engine } = await connect();
    engine.script = { failAt: 1, failure: new StompError('POOL_EXHAUSTED', 'No block is left.') };
    const stream = client.chat.completions.stream({ model: 'tiny', messages: ask });
    const error: unknown = await stream.finalContent().catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(APIError);
    expect(error).toMatchObject({ code: 'POOL_EXHAUSTED', message: 'No block is left.' });
  });

  it.each(['QUEUE_FULL', 'MODEL_SWAP'] as const)(
    '%s passes: the client tries again when told',
    async (code) => {
      const { client, engine } = await connect({ maxRetries: 1 });
      engine.scripts.push(failing(code));
      const answer = await client.chat.completions.create({ model: 'tiny', messages: ask });
      expect(answer.choices[0]?.message.content).toBe('Hello there!');
      expect(engine.calls).toHaveLength(2);
    },
  );
});
