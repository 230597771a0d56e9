/** Anthropic's messages, against a server that says what the reference says. */
import { describe, expect, it } from 'vitest';
import type { Message } from '../../../../ts/clutch/conversation.js';
import { deaf, events, HttpDouble, json, listener, open, request, weather } from './doubles.js';

const start = {
  type: 'message_start',
  message: {
    id: 'msg_1',
    type: 'message',
    role: 'assistant',
    model: 'm',
    content: [],
    stop_reason: null,
    stop_sequence: null,
    usage: {
      input_tokens: 10,
      cache_creation_input_tokens: 5,
      cache_read_input_tokens: 85,
      output_tokens: 1,
    },
  },
};

function ending(stop_reason: string): object[] {
  const delta = { stop_reason, stop_sequence: null };
  return [{ type: 'message_delta', delta, usage: { output_tokens: 12 } }, { type: 'message_stop' }];
}

function block(index: number, content_block: object, ...deltas: object[]): object[] {
  return [
    { type: 'content_block_start', index, content_block },
    ...deltas.map((delta) => ({ type: 'content_block_delta', index, delta })),
    { type: 'content_block_stop', index },
  ];
}

const thought = block(
  0,
  { type: 'thinking', thinking: '', signature: '' },
  { type: 'thinking_delta', thinking: 'Ask ' },
  { type: 'thinking_delta', thinking: 'the tool.' },
  { type: 'signature_delta', signature: 'c2lnbmVk' },
);
const redacted = block(1, { type: 'redacted_thinking', data: 'ZGFyaw==' });
const words = block(2, { type: 'text', text: '' }, { type: 'text_delta', text: 'One moment.' });
const call = block(
  3,
  { type: 'tool_use', id: 'toolu_1', name: 'get_weather', input: {} },
  { type: 'input_json_delta', partial_json: '{"city":' },
  { type: 'input_json_delta', partial_json: ' "Oslo"}' },
);
const calling = events([
  start,
  ...thought,
  ...redacted,
  ...words,
  { type: 'ping' },
  ...call,
  ...ending('tool_use'),
]);
const speaking = events([
  start,
  ...block(0, { type: 'text', text: '' }, { type: 'text_delta', text: 'Rain.' }),
  ...ending('end_turn'),
]);

function anthropic(url: string) {
  return open('anthropic', { baseUrl: url });
}

/** Paths of all cache breakpoints in a body. */
function marks(value: unknown, path = ''): string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) =>
    name === 'cache_control' ? [path] : marks(inner, path === '' ? name : `${path}.${name}`),
  );
}

describe('an answer', () => {
  it('is told as it comes, thoughts and calls included', async () => {
    const server = await HttpDouble.start(calling);
    const { heard, onEvent } = listener();
    const asked = request({ tools: [weather], mustCall: 'get_weather' });
    const answer = await anthropic(server.url).send(asked, onEvent);
    expect(server.asked[0]?.body.tool_choice).toEqual({ type: 'tool', name: 'get_weather' });
    expect(heard).toEqual([
      { type: 'reasoning', text: 'Ask ' },
      { type: 'reasoning', text: 'the tool.' },
      { type: 'text', text: 'One moment.' },
    ]);
    expect(answer).toEqual({
      text: 'One moment.',
      reasoning: 'Ask the tool.',
      calls: [{ id: 'toolu_1', name: 'get_weather', arguments: '{"city": "Oslo"}' }],
      finish: 'calls',
      usage: { input: 100, cached: 85, output: 12 },
      kept: [
        { type: 'thinking', thinking: 'Ask the tool.', signature: 'c2lnbmVk' },
        { type: 'redacted_thinking', data: 'ZGFyaw==' },
        { type: 'text', text: 'One moment.' },
        { type: 'tool_use', id: 'toolu_1', name: 'get_weather', input: { city: 'Oslo' } },
      ],
    });
  });

  it('goes back word for word, to whom it came from', async () => {
    const server = await HttpDouble.start(calling, speaking);
    const provider = anthropic(server.url);
    const { text, calls, kept } = await provider.send(request(), deaf);
    const ask = async (from: string) => {
      const messages: Message[] = [
        { role: 'user', text: 'Hello' },
        { role: 'assistant', text, calls, kept: { provider: from, content: kept } },
        { role: 'tool', results: [{ id: 'toolu_1', name: 'get_weather', output: 'No way', failed: true }] },
      ];
      await provider.send(request({ messages }), deaf);
      return server.asked.at(-1)?.body.messages;
    };
    const own = await ask('anthropic');
    expect(own[1]).toEqual({ role: 'assistant', content: kept });
    expect(own[2].content).toEqual([
      { type: 'tool_result', tool_use_id: 'toolu_1', content: 'No way', is_error: true },
    ]);
    const foreign = await ask('somebody');
    expect(foreign[1].content.map(({ type }: { type: string }) => type)).toEqual(['text', 'tool_use']);
  });

  it('that is cut off, or breaks off with an overload, is asked for again', async () => {
    const overload = { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } };
    const server = await HttpDouble.start(events([start, ...thought]), events([start, overload]), speaking);
    const { heard, onEvent } = listener();
    expect((await anthropic(server.url).send(request(), onEvent)).text).toBe('Rain.');
    expect(heard.filter(({ type }) => type === 'retry')).toHaveLength(2);
  });

  it('that is refused by the model is a failure, not an empty text', async () => {
    const server = await HttpDouble.start(events([start, ...ending('refusal')]));
    await expect(anthropic(server.url).send(request(), deaf)).rejects.toMatchObject({
      code: 'PROVIDER_FAILED',
      message: expect.stringContaining('the model refused'),
    });
  });

  it('waits as a limit says', async () => {
    const limited = { type: 'error', error: { type: 'rate_limit_error', message: 'Slow down' } };
    const server = await HttpDouble.start(json(429, limited, { 'retry-after': '2' }), speaking);
    const { heard, onEvent } = listener();
    await anthropic(server.url).send(request(), onEvent);
    expect(heard[0]).toMatchObject({ type: 'retry', waitMs: 2000 });
  });
});

describe('cache breakpoints', () => {
  const system = ['Be brief. ', 'x'.repeat(130_000)].join('');
  const context = ['First file', 'y'.repeat(120_001)];

  it('are exactly four in six turns, and where they should be', async () => {
    const server = await HttpDouble.start(speaking);
    const provider = anthropic(server.url);
    const messages: Message[] = [];
    for (let turn = 1; turn <= 6; turn++) {
      messages.push({ role: 'user', text: `Question ${turn}` });
      const sent = request({ system, context, tools: [weather, { ...weather, name: 'last' }], messages });
      const { text, kept } = await provider.send(sent, deaf);
      // Somebody has marked what was kept: these marks must go.
      const marked = (kept as object[]).map((one) => ({ ...one, cache_control: { type: 'ephemeral' } }));
      messages.push({ role: 'assistant', text, calls: [], kept: { provider: 'anthropic', content: marked } });
    }
    const bodies = server.asked.map(({ body }) => body);
    // The first question has no question before it.
    expect(marks(bodies[0]).sort()).toEqual(['system.1', 'system.4', 'tools.1']);
    for (const [index, body] of bodies.slice(1).entries()) {
      const penultimate = `messages.${index * 2}.content.0`;
      expect(marks(body).sort()).toEqual([penultimate, 'system.1', 'system.4', 'tools.1']);
    }
  });

  it('cost no prefix: what was sent before is sent again, but for the marks', async () => {
    const server = await HttpDouble.start(speaking);
    const provider = anthropic(server.url);
    const messages: Message[] = [{ role: 'user', text: 'One' }];
    await provider.send(request({ messages, tools: [weather] }), deaf);
    messages.push({ role: 'assistant', text: 'Rain.', calls: [] }, { role: 'user', text: 'Two' });
    await provider.send(request({ messages, tools: [weather] }), deaf);
    const bare = (value: unknown) =>
      JSON.stringify(value, (name, inner: unknown) => (name === 'cache_control' ? undefined : inner));
    const [first, second] = server.asked.map(({ body }) => body);
    expect(bare(second.system) + bare(second.tools)).toBe(bare(first.system) + bare(first.tools));
    expect(bare(second.messages.slice(0, 1))).toBe(bare(first.messages));
  });

  it('leave a field of that name alone in what a model wrote', async () => {
    const server = await HttpDouble.start(speaking);
    const input = { cache_control: 'no-cache' };
    const content = [{ type: 'tool_use', id: 'toolu_1', name: 'get_weather', input }];
    const calls = [{ id: 'toolu_1', name: 'get_weather', arguments: JSON.stringify(input) }];
    await anthropic(server.url).send(
      request({
        messages: [
          { role: 'user', text: 'Go' },
          { role: 'assistant', text: '', calls, kept: { provider: 'anthropic', content } },
          { role: 'tool', results: [{ id: 'toolu_1', name: 'get_weather', output: 'Rain', failed: false }] },
        ],
      }),
      deaf,
    );
    expect(server.asked[0]?.body.messages[1].content[0].input).toEqual(input);
  });
});
