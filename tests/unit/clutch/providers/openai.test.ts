/** OpenAI's chat completions and DeepSeek's, against a server that says what their references say. */
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../../../ts/clutch/providers/retry.js';
import {
  deaf,
  events,
  HttpDouble,
  InstantClock,
  json,
  listener,
  open,
  rain,
  rainEvents,
  request,
  weather,
} from './doubles.js';

interface Delta {
  content?: string;
  reasoning_content?: string;
  tool_calls?: object[];
}

function chunk(delta: Delta, finish_reason: string | null = null): object {
  const choices = [{ index: 0, delta, finish_reason }];
  return { id: 'c', object: 'chat.completion.chunk', created: 1, model: 'm', choices };
}

const usage = {
  id: 'c',
  object: 'chat.completion.chunk',
  created: 1,
  model: 'm',
  choices: [],
  usage: {
    prompt_tokens: 30,
    completion_tokens: 7,
    total_tokens: 37,
    prompt_tokens_details: { cached_tokens: 20 },
  },
};
const said = [chunk({ content: 'It ' }), chunk({ content: 'rains.' }), chunk({}, 'stop'), usage, '[DONE]'];
const limited = {
  error: { message: 'Slow down', type: 'requests', param: null, code: 'rate_limit_exceeded' },
};

function openAi(url: string, clock = new InstantClock(), options = {}) {
  return open('openai', { baseUrl: `${url}/v1`, ...options }, { clock });
}

describe('a chat completion', () => {
  it('is told as it comes, with what it took', async () => {
    const server = await HttpDouble.start(events(said));
    const { heard, onEvent } = listener();
    const answer = await openAi(server.url).send(request({ context: ['A file.'] }), onEvent);
    expect(heard).toEqual(rainEvents);
    expect(answer).toEqual(rain({ input: 30, cached: 20, output: 7 }));
    expect(server.asked[0]).toMatchObject({
      path: '/v1/chat/completions',
      headers: { 'x-agent-id': 'ada' },
      body: {
        model: 'm',
        max_tokens: 100,
        temperature: 0,
        stream: true,
        stream_options: { include_usage: true },
      },
    });
    expect(server.asked[0]?.body.messages).toEqual([
      { role: 'system', content: 'Be brief.\n\nA file.' },
      { role: 'user', content: 'Hello' },
    ]);
  });

  it('gathers calls from their pieces, and brings their results', async () => {
    const begin = (index: number, city: string) =>
      chunk({
        tool_calls: [
          { index, id: `call_${index}`, type: 'function', function: { name: 'get_weather', arguments: '' } },
          { index, function: { arguments: '{"city":' } },
          { index, function: { arguments: `"${city}"}` } },
        ],
      });
    const server = await HttpDouble.start(
      events([begin(0, 'Oslo'), begin(1, 'Rome'), chunk({}, 'tool_calls'), '[DONE]']),
      events(said),
    );
    const provider = openAi(server.url);
    const asked = request({ tools: [weather], mustCall: 'get_weather' });
    const { text, calls, finish } = await provider.send(asked, deaf);
    expect(finish).toBe('calls');
    expect(calls).toEqual([
      { id: 'call_0', name: 'get_weather', arguments: '{"city":"Oslo"}' },
      { id: 'call_1', name: 'get_weather', arguments: '{"city":"Rome"}' },
    ]);
    const results = calls.map(({ id, name }) => ({ id, name, output: `Rain for ${id}`, failed: false }));
    await provider.send(
      request({
        tools: [weather],
        messages: [
          { role: 'user', text: 'Hello' },
          { role: 'assistant', text, calls },
          { role: 'tool', results },
        ],
      }),
      deaf,
    );
    expect(server.asked[1]?.body.tools).toEqual([{ type: 'function', function: weather }]);
    expect(server.asked[0]?.body.tool_choice).toEqual({
      type: 'function',
      function: { name: 'get_weather' },
    });
    expect(server.asked[1]?.body).not.toHaveProperty('tool_choice');
    expect(server.asked[1]?.body.messages.slice(2)).toEqual([
      {
        role: 'assistant',
        content: '',
        tool_calls: calls.map(({ id, name, arguments: text }) => ({
          id,
          type: 'function',
          function: { name, arguments: text },
        })),
      },
      { role: 'tool', tool_call_id: 'call_0', content: 'Rain for call_0' },
      { role: 'tool', tool_call_id: 'call_1', content: 'Rain for call_1' },
    ]);
  });

  const piece = (city: string) => ({ name: 'get_weather', arguments: `{"city":"${city}"}` });
  const [oslo, rome] = [piece('Oslo'), piece('Rome')];
  it.each<[servers: string, pieces: object[]]>([
    [
      'give no index',
      [
        { id: 'a', function: oslo },
        { id: 'b', function: rome },
      ],
    ],
    [
      'give the same index to all',
      [
        { index: 0, id: 'a', function: oslo },
        { index: 0, id: 'b', function: rome },
      ],
    ],
    [
      'give no id',
      [
        { index: 0, function: oslo },
        { index: 1, function: rome },
      ],
    ],
    ['give neither', [{ function: oslo }, { function: rome }]],
    [
      'make up an id for each piece',
      [
        { index: 0, id: 'a', function: { name: 'get_weather', arguments: '{"city":' } },
        { index: 0, id: 'b', function: { arguments: '"Oslo"}' } },
        { index: 1, id: 'c', function: rome },
      ],
    ],
  ])('loses and mixes no calls of servers that %s', async (_, pieces) => {
    const chunks = pieces.map((one) => chunk({ tool_calls: [one] }));
    const server = await HttpDouble.start(events([...chunks, chunk({}, 'tool_calls'), '[DONE]']));
    const { calls } = await openAi(server.url).send(request({ tools: [weather] }), deaf);
    expect(calls.map(({ name, arguments: text }) => ({ name, arguments: text }))).toEqual([oslo, rome]);
    const ids = new Set(calls.map(({ id }) => id));
    expect(ids.size).toBe(2);
    expect(ids).not.toContain('');
  });

  it.each([
    ['functions.run it', 'functions_run_it'],
    ['', 'unnamed'],
  ])('sends a call of %j back by a name that is taken', async (name, taken) => {
    const server = await HttpDouble.start(events(said));
    const messages = [
      { role: 'user', text: 'Hello' },
      { role: 'assistant', text: '', calls: [{ id: 'a', name, arguments: '{}' }] },
      { role: 'tool', results: [{ id: 'a', name, output: 'There is none.', failed: true }] },
    ] as const;
    await openAi(server.url).send(request({ messages }), deaf);
    expect(server.asked[0]?.body.messages[2].tool_calls[0].function.name).toBe(taken);
  });

  it('leaves out the oldest turns that the context has no room for', async () => {
    const server = await HttpDouble.start(events(said));
    const long = 'word '.repeat(500);
    const messages = [
      { role: 'user' as const, text: long },
      { role: 'assistant' as const, text: long, calls: [] },
      { role: 'user' as const, text: 'And now?' },
    ];
    await openAi(server.url, new InstantClock(), { contextTokens: 1000 }).send(request({ messages }), deaf);
    expect(server.asked[0]?.body.messages.slice(1)).toEqual([{ role: 'user', content: 'And now?' }]);
  });
});

describe('a failure', () => {
  it.each([
    ['retry-after', '7', 7000],
    ['retry-after', 'Thu, 01 Jan 2026 00:00:30 GMT', 30_000],
    ['retry-after-ms', '250', 250],
  ])('that passes is tried again after %s: %s', async (name, value, waitMs) => {
    const server = await HttpDouble.start(json(429, limited, { [name]: value }), events(said));
    const clock = new InstantClock();
    const { heard, onEvent } = listener();
    expect((await openAi(server.url, clock).send(request(), onEvent)).text).toBe('It rains.');
    expect(clock.slept).toEqual([waitMs]);
    expect(heard[0]).toEqual({ type: 'retry', attempt: 2, waitMs, reason: '429 Slow down' });
  });

  it.each([500, 502, 503, 529])(
    'of the server (%i) is tried five times, ever more rarely',
    async (status) => {
      const server = await HttpDouble.start(json(status, { error: { message: 'Oh' } }));
      const clock = new InstantClock();
      await expect(openAi(server.url, clock).send(request(), deaf)).rejects.toMatchObject({
        code: 'PROVIDER_FAILED',
        fields: { provider: 'openai', attempts: 5, status },
      });
      expect(server.asked).toHaveLength(5);
      expect(clock.slept).toEqual([250, 500, 1000, 2000]);
    },
  );

  it('in the middle of an answer drops what has come', async () => {
    const server = await HttpDouble.start(
      events(said.slice(0, 1), 'cut'),
      events(said.slice(0, 2)),
      events(said),
    );
    const { heard, onEvent } = listener();
    expect((await openAi(server.url).send(request(), onEvent)).text).toBe('It rains.');
    const kinds = heard.map(({ type }) => type);
    expect(kinds.filter((type) => type === 'retry')).toHaveLength(2);
    expect(kinds.slice(-3)).toEqual(['retry', 'text', 'text']);
  });

  it('within the stream is read by its type', async () => {
    const broken = { error: { message: 'Overloaded', type: 'server_error' } };
    const server = await HttpDouble.start(events([chunk({ content: 'It' }), broken]), events(said));
    const { heard, onEvent } = listener();
    await openAi(server.url).send(request(), onEvent);
    expect(heard[1]).toMatchObject({ type: 'retry', attempt: 2 });
  });

  it('of a provider that hangs passes, too', async () => {
    const server = await HttpDouble.start(events(said.slice(0, 1), 'hang'), events(said));
    const { heard, onEvent } = listener();
    const answer = await openAi(server.url, new InstantClock(), { idleMs: 500 }).send(request(), onEvent);
    expect(answer.text).toBe('It rains.');
    const [retry] = heard.filter(({ type }) => type === 'retry');
    expect(retry).toMatchObject({ attempt: 2, reason: 'nothing came for 0.5 s' });
  });

  it('that does not pass is told at once', async () => {
    const server = await HttpDouble.start(json(400, { error: { message: 'No such field' } }));
    await expect(openAi(server.url).send(request(), deaf)).rejects.toMatchObject({ code: 'PROVIDER_FAILED' });
    expect(server.asked).toHaveLength(1);
  });

  it('that would last too long is a limit', async () => {
    const server = await HttpDouble.start(json(429, limited, { 'retry-after': '3600' }));
    await expect(openAi(server.url).send(request(), deaf)).rejects.toMatchObject({
      code: 'PROVIDER_LIMITED',
      message: expect.stringContaining('in 3600 s'),
      fields: { retry_after_ms: 3_600_000 },
    });
    expect(server.asked).toHaveLength(1);
  });

  it('of an address where nobody listens is told in the end', async () => {
    const provider = openAi('http://127.0.0.1:1');
    await expect(provider.send(request(), deaf)).rejects.toMatchObject({
      code: 'PROVIDER_FAILED',
      fields: { attempts: 5 },
    });
  });
});

describe('an end from outside', () => {
  it('cancels a request that runs, and the connection with it', async () => {
    let gone = false;
    const server = await HttpDouble.start((response, asked) => {
      response.on('close', () => (gone = true));
      events(said.slice(0, 1), 'hang')(response, asked);
    });
    const stop = new AbortController();
    const asking = openAi(server.url).send(request({ signal: stop.signal }), () => stop.abort());
    await expect(asking).rejects.toMatchObject({ code: 'CANCELLED' });
    await expect.poll(() => gone).toBe(true);
  });

  it('cancels one that waits to try again', async () => {
    const server = await HttpDouble.start(json(500, {}));
    const stop = new AbortController();
    // In real time it would wait for a minute.
    const clock = { ...systemClock, random: () => 120 };
    const provider = open('openai', { baseUrl: server.url }, { clock });
    const onRetry = () => setImmediate(() => stop.abort());
    await expect(provider.send(request({ signal: stop.signal }), onRetry)).rejects.toMatchObject({
      code: 'CANCELLED',
    });
  });

  it('closes the provider under what it asks', async () => {
    const server = await HttpDouble.start(events(said.slice(0, 1), 'hang'));
    const provider = openAi(server.url);
    const { heard, onEvent } = listener();
    const asking = provider.send(request(), onEvent);
    const refused = expect(asking).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
    await expect.poll(() => heard.length).toBe(1);
    await provider.close();
    await refused;
    await expect(provider.send(request(), deaf)).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
  });
});

describe('DeepSeek', () => {
  const thinking = [
    chunk({ reasoning_content: 'Look ' }),
    chunk({ reasoning_content: 'up.' }),
    chunk({
      tool_calls: [
        { index: 0, id: 'call_0', type: 'function', function: { name: 'get_weather', arguments: '{}' } },
      ],
    }),
    {
      ...chunk({}, 'tool_calls'),
      usage: {
        prompt_tokens: 9,
        completion_tokens: 4,
        total_tokens: 13,
        prompt_cache_hit_tokens: 6,
        prompt_cache_miss_tokens: 3,
      },
    },
    '[DONE]',
  ];

  it('is given its thoughts back while its calls are answered, and not after', async () => {
    const server = await HttpDouble.start(events(thinking), events(said));
    const provider = open('deepseek', { baseUrl: server.url });
    const { heard, onEvent } = listener();
    const { text, calls, reasoning, usage: used, kept } = await provider.send(request(), onEvent);
    expect(heard.map(({ type }) => type)).toEqual(['reasoning', 'reasoning']);
    expect({ reasoning, used }).toEqual({ reasoning: 'Look up.', used: { input: 9, cached: 6, output: 4 } });
    const round = [
      { role: 'user' as const, text: 'Hello' },
      { role: 'assistant' as const, text, calls, kept: { provider: 'deepseek', content: kept } },
      {
        role: 'tool' as const,
        results: [{ id: 'call_0', name: 'get_weather', output: 'Rain', failed: false }],
      },
    ];
    const thoughts = async (messages: typeof round) => {
      await provider.send(request({ messages }), deaf);
      return server.asked.at(-1)?.body.messages[2].reasoning_content as unknown;
    };
    expect(await thoughts(round)).toBe('Look up.');
    const later = [...round, { role: 'assistant' as const, text: 'Rain.', calls: [] }, round[0]];
    expect(await thoughts(later as typeof round)).toBeUndefined();
  });
});
