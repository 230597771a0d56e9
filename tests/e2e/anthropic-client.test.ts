/** The official Anthropic client against real servers: forms, tools, thoughts, stops, counts, aborts, errors, retries. */
import Anthropic from '@anthropic-ai/sdk';
import { betaTool } from '@anthropic-ai/sdk/helpers/beta/json-schema';
import { Ajv } from 'ajv';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { qwen } from '../unit/engine/tools/templates.js';
import { ScriptedServer, tinyChatModel } from './scripted-process.js';
import { type ServerProcess, serve, until } from './server-process.js';

const ask: Anthropic.MessageParam[] = [{ role: 'user', content: 'What is the weather in Oslo?' }];
const schema = {
  type: 'object' as const,
  properties: { city: { type: 'string' }, days: { type: 'integer' } },
  required: ['city', 'days'],
  additionalProperties: false,
};
const weather = { name: 'get_weather', description: 'Weather of a city', input_schema: schema, strict: true };

function connect(url: string, options: { maxRetries?: number } = {}): Anthropic {
  return new Anthropic({ baseURL: url, apiKey: 'any', maxRetries: 0, ...options });
}

function textOf(message: Anthropic.Message): string {
  return message.content.map((block) => (block.type === 'text' ? block.text : '')).join('');
}

function callsOf(message: Anthropic.Message): Anthropic.ToolUseBlock[] {
  return message.content.filter((block) => block.type === 'tool_use');
}

function promptOf({ usage }: Anthropic.Message): number {
  return usage.input_tokens + (usage.cache_read_input_tokens ?? 0);
}

describe('the default model, under a name of Anthropic’s', () => {
  const model = 'claude-opus-4-8';
  let server: ServerProcess;
  let client: Anthropic;

  beforeAll(async () => {
    server = await serve({
      shared: true,
      model: 'smollm2-135m',
      args: ['--model-alias', 'claude-*', '--rate-limit-per-agent', '30'],
    });
    client = connect(server.url);
  });

  it('answers in JSON that the schema accepts', async () => {
    const isAccepted = new Ajv().compile(schema);
    for (const seed of [1, 2, 3]) {
      const message = await client.messages.create({
        model,
        max_tokens: 400,
        messages: ask,
        ...{ seed, temperature: 1 },
        output_config: { format: { type: 'json_schema', schema } },
      });
      // A small model may never come to an end of a text.
      if (message.stop_reason !== 'max_tokens') expect(isAccepted(JSON.parse(textOf(message)))).toBe(true);
    }
  });

  it.each([{ type: 'any' as const }, { type: 'tool' as const, name: 'get_weather' }])(
    'calls the tool that it must call, with arguments that its schema accepts: %o',
    async (choice) => {
      const message = await client.messages
        .stream({
          model,
          max_tokens: 400,
          messages: ask,
          tools: [weather],
          tool_choice: { ...choice, disable_parallel_tool_use: true },
        })
        .finalMessage();
      expect(message.stop_reason).toBe('tool_use');
      expect(message.content.map(({ type }) => type)).toEqual(['tool_use']);
      expect(new Ajv().validate(schema, callsOf(message)[0]?.input)).toBe(true);
    },
  );

  it.each<[string, Partial<Anthropic.MessageCountTokensParams>]>([
    ['a question', {}],
    ['blocks of a system prompt', { system: [{ type: 'text', text: 'Be brief.' }] }],
    ['tools', { tools: [weather] }],
    ['a tool that must be used', { tools: [weather], tool_choice: { type: 'any' } }],
    ['thoughts', { thinking: { type: 'adaptive' } }],
    ['a form', { output_config: { format: { type: 'json_schema', schema } } }],
  ])('counts the tokens of the prompt that it then reads: %s', async (_, fields) => {
    const prompt = { model, messages: ask, ...fields };
    const { input_tokens: counted } = await client.messages.countTokens(prompt);
    expect(promptOf(await client.messages.create({ ...prompt, max_tokens: 1 }))).toBe(counted);
    // Once more, when the agent remembers its answer.
    expect((await client.messages.countTokens(prompt)).input_tokens).toBe(counted);
  });

  it('lets go of a turn whose client goes away', async () => {
    const messages = [{ role: 'user' as const, content: 'Tell a long story.' }];
    const stream = client.messages.stream({ model, max_tokens: 4000, messages });
    stream.on('text', () => stream.abort());
    await expect(stream.finalMessage()).rejects.toThrow(Anthropic.APIUserAbortError);
    const running = async () =>
      (await server.json<{ running_turns: number }>('/v1/admin/stats')).running_turns;
    // Much sooner than the story would take.
    await until(async () => (await running()) === 0, 'no turn is running', 3000);
  });

  it('tells a prompt that is too long in the words that clients know', async () => {
    const messages = [{ role: 'user' as const, content: 'too long '.repeat(9000) }];
    const refused = client.messages.create({ model, max_tokens: 10, messages });
    await expect(refused).rejects.toThrow(Anthropic.BadRequestError);
    await expect(refused).rejects.toThrow(/prompt is too long: \d+ tokens > 8192 maximum/);
  });

  it.each<[string, object, number]>([
    ['MODEL_NOT_FOUND', { model: 'gpt-5' }, 404],
    ['INVALID_REQUEST', { temperature: 3 }, 400],
    ['UNSUPPORTED_FIELD', { container: 'x' }, 400],
  ])('refuses with %s', async (error_code, fields, status) => {
    const request = client.messages.create({ model, max_tokens: 10, messages: ask, ...fields });
    await expect(request).rejects.toMatchObject({ status, error: { error: { details: { error_code } } } });
  });

  it('is tried again when it has asked for patience', async () => {
    const headers = { 'x-agent-id': 'eager' };
    const turn = (to: Anthropic) => to.messages.create({ model, max_tokens: 1, messages: ask }, { headers });
    const first = await Promise.allSettled(Array.from({ length: 31 }, () => turn(client)));
    const refused = first.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []));
    expect(refused.length).toBeGreaterThan(0);
    for (const reason of refused) expect(reason).toBeInstanceOf(Anthropic.RateLimitError);
    expect((await turn(connect(server.url, { maxRetries: 3 }))).stop_reason).toBe('max_tokens');
  });
});

describe('a model that thinks, and says what it is told', () => {
  const model = 'tiny-chat';
  const tricky = { city: 'Oslo </tool_call> </think> "quoted" {braces} é 包', days: 3 };
  const call = (args: object) =>
    `<tool_call>\n${JSON.stringify({ name: 'get_weather', arguments: args })}\n</tool_call>`;
  const thought = 'They ask for <tool_call> two cities.';
  // Held to no grammar, so that the script alone decides.
  const free = { ...weather, strict: false };
  const ready = { model, max_tokens: 2000, thinking: { type: 'adaptive' as const }, tools: [free] };
  let server: ScriptedServer;
  let client: Anthropic;

  beforeAll(async () => {
    const twice = `Two at once.\n${call(tricky)}\n${call({ city: 'Rome', days: 1 })}`;
    server = await ScriptedServer.start(
      [
        { match: 'And tomorrow?', answer: '<think>\nSame.\n</think>\n\nThe same.' },
        { match: 'Rain in', answer: '<think>\nBoth are known.\n</think>\n\nIt rains.' },
        { match: 'both cities', answer: `<think>\n${thought}\n</think>\n\n${twice}` },
        { match: 'without a thought', answer: twice },
        { match: 'Count', answer: 'one two three four' },
      ],
      { model: tinyChatModel(qwen) },
    );
    client = connect(server.url);
  });
  afterAll(() => server.stop());

  const both: Anthropic.MessageParam = { role: 'user', content: 'Ask for both cities' };

  it.each([false, true])('thinks, speaks and calls twice (stream: %s)', async (isStream) => {
    const request = { ...ready, messages: [both] };
    const message = isStream
      ? await client.messages.stream(request).finalMessage()
      : await client.messages.create(request);
    expect(message.content).toMatchObject([
      { type: 'thinking', thinking: thought },
      { type: 'text', text: 'Two at once.\n' },
      { type: 'tool_use', name: 'get_weather', input: tricky },
      { type: 'tool_use', name: 'get_weather', input: { city: 'Rome', days: 1 } },
    ]);
    expect(new Set(callsOf(message).map(({ id }) => id)).size).toBe(2);
    expect(message.stop_reason).toBe('tool_use');
  });

  it('runs tools to the end, and finds thoughts and calls in its cache', async () => {
    const asked: unknown[] = [];
    const runner = client.beta.messages.toolRunner({
      ...ready,
      messages: [{ role: 'user', content: 'Please ask for both cities' }],
      tools: [
        betaTool({
          name: 'get_weather',
          description: 'Weather of a city',
          inputSchema: {
            ...schema,
            properties: { city: { type: 'string' }, days: { type: 'integer' } },
          } as const,
          run: (given) => {
            asked.push(given);
            return `Rain in ${asked.length}`;
          },
        }),
      ],
    });
    const usages: Anthropic.Beta.BetaUsage[] = [];
    for await (const message of runner) usages.push(message.usage);
    expect(asked).toEqual([tricky, { city: 'Rome', days: 1 }]);
    const [first, second] = usages;
    const read = (first?.input_tokens ?? 0) + (first?.cache_read_input_tokens ?? 0);
    expect(second?.cache_read_input_tokens).toBeGreaterThanOrEqual(read + (first?.output_tokens ?? 0) - 1);
  });

  it('says why less was found when the template drops thoughts of the past', async () => {
    const history: Anthropic.MessageParam[] = [both];
    const turn = async () => {
      const message = await client.messages.create({ ...ready, messages: history });
      history.push({ role: 'assistant', content: message.content });
      return message;
    };
    const first = await turn();
    const results = callsOf(first).map(({ id }) => ({
      type: 'tool_result' as const,
      tool_use_id: id,
      content: 'Rain in town',
    }));
    history.push({ role: 'user', content: results });
    const second = await turn();
    history.push({ role: 'user', content: 'And tomorrow?' });
    const third = await turn();
    expect(textOf(third)).toBe('The same.');
    const possible = promptOf(second) + second.usage.output_tokens - 1;
    expect(third.usage.cache_read_input_tokens).toBeLessThan(possible);
    expect(third.usage).toMatchObject({ cache_miss_reason: expect.stringContaining('thoughts') });
  });

  it('shows thoughts only to those who ask for them', async () => {
    const messages: Anthropic.MessageParam[] = [{ role: 'user', content: 'Go, without a thought' }];
    const silent = await client.messages.create({ ...ready, messages, thinking: { type: 'disabled' } });
    expect(silent.content.map(({ type }) => type)).toEqual(['text', 'tool_use', 'tool_use']);
    const omitted = await client.messages.create({
      ...ready,
      messages: [both],
      thinking: { type: 'adaptive', display: 'omitted' },
    });
    expect(omitted.content[0]).toMatchObject({ type: 'thinking', thinking: '' });
  });

  it('calls once where calls side by side are not wanted', async () => {
    const choice = { type: 'auto' as const, disable_parallel_tool_use: true };
    const message = await client.messages
      .stream({ ...ready, messages: [both], tool_choice: choice })
      .finalMessage();
    expect(callsOf(message).map(({ input }) => input)).toEqual([tricky]);
  });

  it('stops at a text, and says which', async () => {
    const messages: Anthropic.MessageParam[] = [{ role: 'user', content: 'Count' }];
    const request = { model, max_tokens: 100, messages, stop_sequences: ['nine', ' three'] };
    for (const message of [
      await client.messages.create(request),
      await client.messages.stream(request).finalMessage(),
    ]) {
      expect(textOf(message)).toBe('one two');
      expect(message).toMatchObject({ stop_reason: 'stop_sequence', stop_sequence: ' three' });
    }
    const short = await client.messages.create({ model, max_tokens: 2, messages });
    expect(short).toMatchObject({ stop_reason: 'max_tokens', usage: { output_tokens: 2 } });
  });
});
