/** Tools, thoughts, forms, log-probabilities and several choices, in the shapes of OpenAI's reference. */
import { describe, expect, it } from 'vitest';
import type { GenerationChunk } from '../../../../ts/engine/types.js';
import { events, hello, start } from '../harness.js';

const path = '/v1/chat/completions';
const weather = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'Weather of a city',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
    strict: true,
  },
};
const clock = { type: 'function', function: { name: 'get_time' } };

/** An answer that thinks, speaks and calls twice. */
const busy: readonly GenerationChunk[] = [
  { type: 'reasoning', text: 'Both, ', tokens: [1, 2] },
  { type: 'reasoning', text: 'then.', tokens: [3] },
  { type: 'text', text: 'One moment.', tokens: [4, 5] },
  { type: 'tool_call', index: 0, id: 'call_a', name: 'get_weather', arguments: '', tokens: [6] },
  { type: 'tool_call', index: 0, arguments: '{"city":', tokens: [7] },
  { type: 'tool_call', index: 0, arguments: '"Oslo"}', tokens: [8] },
  { type: 'tool_call', index: 1, id: 'call_b', name: 'get_time', arguments: '{}', tokens: [9] },
];

interface Chunk {
  choices: {
    index: number;
    delta: Record<string, unknown>;
    finish_reason: string | null;
    logprobs: unknown;
  }[];
}

async function chunksOf(response: Response): Promise<Chunk[]> {
  const data = await events(response);
  expect(data.pop()).toBe('[DONE]');
  return data.map((text) => JSON.parse(text) as Chunk);
}

describe('tools', () => {
  it('reach the engine, with the choice among them', async () => {
    const { post, engine } = await start();
    const ask = async (tool_choice: unknown, more: object = {}) => {
      await post(path, { messages: hello, tools: [weather, clock], tool_choice, ...more });
      return engine.calls.at(-1)?.options;
    };
    expect(await ask(undefined, { parallel_tool_calls: false })).toEqual({
      tools: [weather.function, { name: 'get_time' }],
      parallelToolCalls: false,
      signal: expect.any(AbortSignal),
    });
    expect((await ask('none'))?.toolChoice).toBe('none');
    expect((await ask('required'))?.toolChoice).toBe('required');
    expect((await ask(clock))?.toolChoice).toEqual({ name: 'get_time' });
    const allowed = { type: 'allowed_tools', allowed_tools: { mode: 'required', tools: [clock] } };
    expect(await ask(allowed)).toMatchObject({ tools: [{ name: 'get_time' }], toolChoice: 'required' });
  });

  it('are called in the message, with thoughts beside', async () => {
    const { post, engine } = await start();
    engine.script = { pieces: busy };
    const body = (await (await post(path, { messages: hello, tools: [weather, clock] })).json()) as {
      choices: unknown;
      usage: unknown;
    };
    expect(body.choices).toEqual([
      {
        index: 0,
        message: {
          role: 'assistant',
          content: 'One moment.',
          refusal: null,
          reasoning_content: 'Both, then.',
          tool_calls: [
            {
              id: 'call_a',
              type: 'function',
              function: { name: 'get_weather', arguments: '{"city":"Oslo"}' },
            },
            { id: 'call_b', type: 'function', function: { name: 'get_time', arguments: '{}' } },
          ],
        },
        logprobs: null,
        finish_reason: 'tool_calls',
      },
    ]);
    expect(body.usage).toMatchObject({
      completion_tokens: 9,
      completion_tokens_details: { reasoning_tokens: 3 },
    });
  });

  it('leave the content null when nothing is said beside the calls', async () => {
    const { post, engine } = await start();
    engine.script = { pieces: busy.slice(3) };
    const body = (await (await post(path, { messages: hello, tools: [weather] })).json()) as {
      choices: { message: { content: unknown } }[];
    };
    expect(body.choices[0]?.message.content).toBeNull();
  });

  it('stream in deltas: who is called first, then the arguments', async () => {
    const { post, engine } = await start();
    engine.script = { pieces: busy };
    const chunks = await chunksOf(
      await post(path, { messages: hello, tools: [weather, clock], stream: true }),
    );
    const call = (index: number, rest: object) => ({ tool_calls: [{ index, ...rest }] });
    const named = (index: number, id: string, name: string) =>
      call(index, { id, type: 'function', function: { name, arguments: '' } });
    expect(chunks.map(({ choices }) => choices[0]?.delta)).toEqual([
      { role: 'assistant', content: '' },
      { reasoning_content: 'Both, ' },
      { reasoning_content: 'then.' },
      { content: 'One moment.' },
      named(0, 'call_a', 'get_weather'),
      call(0, { function: { arguments: '{"city":' } }),
      call(0, { function: { arguments: '"Oslo"}' } }),
      named(1, 'call_b', 'get_time'),
      call(1, { function: { arguments: '{}' } }),
      {},
    ]);
    expect(chunks.map(({ choices }) => choices[0]?.finish_reason)).toEqual([
      ...Array<null>(9).fill(null),
      'tool_calls',
    ]);
  });

  it('and their answers are read back from the history', async () => {
    const { post, engine } = await start();
    const response = await post(path, {
      tools: [weather],
      messages: [
        { role: 'user', content: 'Weather?' },
        {
          role: 'assistant',
          content: null,
          refusal: null,
          annotations: [],
          audio: null,
          function_call: null,
          parsed: null,
          reasoning_content: 'Ask.',
          tool_calls: [
            {
              index: 0,
              id: 'call_a',
              type: 'function',
              function: { name: 'get_weather', arguments: '{"city":"Oslo"}', parsed_arguments: null },
            },
          ],
        },
        { role: 'tool', tool_call_id: 'call_a', content: [{ type: 'text', text: 'Rain' }] },
      ],
    });
    expect(response.status).toBe(200);
    expect(engine.calls[0]?.input).toEqual([
      { role: 'user', content: 'Weather?' },
      {
        role: 'assistant',
        content: '',
        reasoning: 'Ask.',
        toolCalls: [{ id: 'call_a', name: 'get_weather', arguments: '{"city":"Oslo"}' }],
      },
      { role: 'tool', toolCallId: 'call_a', content: [{ type: 'text', text: 'Rain' }] },
    ]);
  });
});

describe('the form of an answer and the thoughts before it', () => {
  const schema = { type: 'object', properties: { n: { type: 'integer' } } };
  it.each([
    [{ response_format: { type: 'json_object' } }, { responseFormat: { type: 'json_object' } }],
    [
      { response_format: { type: 'json_schema', json_schema: { name: 'n', schema, strict: true } } },
      { responseFormat: { type: 'json_schema', schema } },
    ],
    [{ response_format: { type: 'text' } }, {}],
    [{ reasoning_effort: 'none' }, { reasoning: { enabled: false } }],
    [{ reasoning_effort: 'minimal' }, { reasoning: { enabled: false } }],
    [{ reasoning_effort: 'high' }, { reasoning: { enabled: true } }],
    [{ reasoning_budget_tokens: 9 }, { reasoning: { budgetTokens: 9 } }],
    [{ logprobs: true }, { topLogprobs: 0 }],
    [{ logprobs: true, top_logprobs: 20 }, { topLogprobs: 20 }],
    [
      { presence_penalty: -2, frequency_penalty: 2 },
      { presencePenalty: -2, frequencyPenalty: 2 },
    ],
    [{ repetition_penalty: 1.1 }, { repetitionPenalty: 1.1 }],
    [{ logit_bias: { 5: -100, 17: 3.5 } }, { logitBias: { 5: -100, 17: 3.5 } }],
  ])('%j reaches the engine', async (fields, options) => {
    const { post, engine } = await start();
    expect((await post(path, { messages: hello, ...fields })).status).toBe(200);
    expect(engine.calls[0]?.options).toEqual({ ...options, signal: expect.any(AbortSignal) });
  });

  it.each([
    { prompt_cache_key: 'conversation-7' },
    { prompt_cache_retention: '24h' },
    { prompt_cache_options: { mode: 'explicit', ttl: '30m' } },
    {
      messages: [
        {
          role: 'user',
          content: [{ type: 'text', text: 'Hi', prompt_cache_breakpoint: { mode: 'explicit' } }],
        },
      ],
    },
  ])('%j changes nothing, since caching needs no help', async (fields) => {
    const { post, engine } = await start();
    expect((await post(path, { messages: hello, ...fields })).status).toBe(200);
    expect(engine.calls[0]?.options).toEqual({ signal: expect.any(AbortSignal) });
  });

  it('names the tier when it was asked for one', async () => {
    const { post } = await start();
    const asked = await (await post(path, { messages: hello, service_tier: 'auto' })).json();
    expect(asked).toHaveProperty('service_tier', 'default');
    expect(await (await post(path, { messages: hello })).json()).not.toHaveProperty('service_tier');
  });
});

describe('log-probabilities', () => {
  // In the fake vocabulary every byte is a token: the second character has two of them.
  const pieces: readonly GenerationChunk[] = [
    { type: 'text', text: 'a', tokens: [0x61], logprobs: [{ token: 0x61, logprob: -0.5, top: [] }] },
    {
      type: 'text',
      text: 'é',
      tokens: [0xc3, 0xa9],
      logprobs: [
        { token: 0xc3, logprob: -1, top: [{ token: 0x62, logprob: -0.75 }] },
        { token: 0xa9, logprob: 0, top: [] },
      ],
    },
    {
      type: 'tool_call',
      index: 0,
      arguments: '',
      tokens: [7],
      logprobs: [{ token: 0x37, logprob: -2, top: [] }],
    },
  ];
  const entry = (bytes: number[], logprob: number, top_logprobs: object[] = []) => ({
    token: Buffer.from(bytes).toString(),
    logprob,
    bytes,
    top_logprobs,
  });
  const expected = [
    entry([0x61], -0.5),
    entry([0xc3], -1, [{ token: 'b', logprob: -0.75, bytes: [0x62] }]),
    entry([0xa9], 0),
    entry([0x37], -2),
  ];

  it('come for every token, with its bytes', async () => {
    const { post, engine } = await start();
    engine.script = { pieces };
    const body = (await (await post(path, { messages: hello, logprobs: true, top_logprobs: 1 })).json()) as {
      choices: { logprobs: unknown }[];
    };
    expect(body.choices[0]?.logprobs).toEqual({ content: expected, refusal: null });
  });

  it('come with the pieces of a stream, those of pieces without text too', async () => {
    const { post, engine } = await start();
    engine.script = { pieces };
    const chunks = await chunksOf(
      await post(path, { messages: hello, logprobs: true, top_logprobs: 1, stream: true }),
    );
    const all = chunks.flatMap(({ choices }) => {
      const logprobs = choices[0]?.logprobs as { content: object[] } | null;
      return logprobs?.content ?? [];
    });
    expect(all).toEqual(expected);
  });
});

describe('several choices', () => {
  it('are the agent’s first and nobody’s after, each with a seed of its own', async () => {
    const { post, engine } = await start();
    engine.scripts.push({ tokens: ['one'] }, { tokens: ['two', '!'] }, { tokens: ['three'] });
    engine.script = { usage: {} };
    const body = (await (
      await post(path, { messages: hello, n: 3, seed: 2 ** 53 - 2, session_id: 's' })
    ).json()) as {
      choices: { index: number; message: { content: string } }[];
      usage: object;
    };
    expect(body.choices.map(({ index, message }) => [index, message.content])).toEqual([
      [0, 'one'],
      [1, 'two!'],
      [2, 'three'],
    ]);
    expect(body.usage).toMatchObject({ prompt_tokens: 7, completion_tokens: 4, total_tokens: 11 });
    expect(engine.calls.map(({ agentId, options }) => [agentId, options.seed])).toEqual([
      ['s', 2 ** 53 - 2],
      ['', 2 ** 53 - 1],
      ['', 0],
    ]);
  });

  it('stream side by side, each with role, text and finish reason of its own', async () => {
    const { post, engine } = await start();
    engine.scripts.push({ tokens: ['a', 'b', 'c'] }, { tokens: ['x'], finishReason: 'length' });
    const chunks = await chunksOf(await post(path, { messages: hello, n: 2, stream: true }));
    const of = (index: number) =>
      chunks.flatMap(({ choices }) => choices.filter((one) => one.index === index));
    for (const [index, text, reason] of [
      [0, 'abc', 'stop'],
      [1, 'x', 'length'],
    ] as const) {
      expect(of(index)[0]?.delta).toEqual({ role: 'assistant', content: '' });
      expect(
        of(index)
          .map(({ delta }) => delta.content ?? '')
          .join(''),
      ).toBe(text);
      expect(of(index).filter(({ finish_reason }) => finish_reason !== null)).toHaveLength(1);
      expect(of(index).at(-1)?.finish_reason).toBe(reason);
    }
  });
});

it('obfuscated chunks do not tell the length of their text', async () => {
  const { post, engine } = await start();
  engine.script = { tokens: ['a', 'bb', 'cccccc', 'dddddddddddd'] };
  const data = await events(
    await post(path, { messages: hello, stream: true, stream_options: { include_obfuscation: true } }),
  );
  expect(data.pop()).toBe('[DONE]');
  for (const text of data) expect(text.length % 128).toBe(0);
  expect(data.filter((text) => text.includes('"content":"')).length).toBeGreaterThan(4);
});

describe('an error', () => {
  it('names the agent that it befell, in header and body', async () => {
    const { post, engine } = await start();
    for (const [body, headers] of [
      [{ messages: hello, colour: 1 }, { 'x-agent-id': 'ann' }],
      [{ messages: hello, model: 'other' }, { 'x-session-id': 'ann' }],
    ] as const) {
      const response = await post(path, body, headers);
      expect(response.status).toBeGreaterThanOrEqual(400);
      expect(response.headers.get('x-agent-id')).toBe('ann');
      expect(await response.json()).toHaveProperty('agent_id', 'ann');
    }
    expect(engine.calls).toEqual([]);
  });
});
