/** The official OpenAI client against real servers: forms, tools, log-probabilities, choices, raw prompts, agents. */
import { Ajv } from 'ajv';
import OpenAI from 'openai';
import type { ChatCompletionFunctionTool } from 'openai/resources/chat/completions';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { qwen } from '../unit/engine/tools/templates.js';
import { ScriptedServer, tinyChatModel } from './scripted-process.js';
import { type AgentBody, type ServerProcess, serve, until } from './server-process.js';

const model = 'smollm2-135m';
const ask = [{ role: 'user' as const, content: 'What is the weather in Oslo?' }];
const parameters = {
  type: 'object',
  properties: { city: { type: 'string' }, days: { type: 'integer' } },
  required: ['city', 'days'],
  additionalProperties: false,
};
const weather: ChatCompletionFunctionTool = {
  type: 'function',
  function: { name: 'get_weather', description: 'Weather of a city', parameters, strict: true },
};

function accepts(schema: object, text: string | null | undefined): boolean {
  return new Ajv().validate(schema, JSON.parse(text ?? ''));
}

describe('the default model', () => {
  let server: ServerProcess;
  let client: OpenAI;

  beforeAll(async () => {
    server = await serve({ shared: true, model, args: ['--rate-limit-per-agent', '30'] });
    client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 });
  });

  it('answers in JSON that the schema accepts', async () => {
    for (const seed of [1, 2, 3]) {
      const { choices } = await client.chat.completions.create({
        model,
        messages: ask,
        temperature: 1,
        seed,
        max_tokens: 400,
        response_format: { type: 'json_schema', json_schema: { name: 'where', schema: parameters } },
      });
      // A small model may never come to an end of a text.
      if (choices[0]?.finish_reason === 'length') continue;
      expect(accepts(parameters, choices[0]?.message.content)).toBe(true);
    }
    const any = await client.chat.completions.create({
      model,
      messages: ask,
      max_tokens: 400,
      response_format: { type: 'json_object' },
    });
    expect(any.choices[0]?.message.content).toMatch(/^\s*\{/);
  });

  it('calls the tool that it must call, with arguments that its schema accepts', async () => {
    const forced = { type: 'function' as const, function: { name: 'get_weather' } };
    for (const tool_choice of ['required' as const, forced]) {
      const stream = client.chat.completions.stream({
        model,
        messages: ask,
        tools: [weather],
        tool_choice,
        parallel_tool_calls: false,
        max_tokens: 400,
      });
      const { choices } = await stream.finalChatCompletion();
      expect(choices[0]?.finish_reason).toBe('tool_calls');
      const calls = choices[0]?.message.tool_calls ?? [];
      expect(calls).toHaveLength(1);
      expect(calls[0]?.function.name).toBe('get_weather');
      expect(accepts(parameters, calls[0]?.function.arguments)).toBe(true);
    }
  });

  it('tells how likely its tokens were: the greedy one is the likeliest', async () => {
    const { choices, usage } = await client.chat.completions.create({
      model,
      messages: ask,
      max_tokens: 12,
      logprobs: true,
      top_logprobs: 3,
    });
    const content = choices[0]?.logprobs?.content ?? [];
    expect(content.length).toBeGreaterThanOrEqual((usage?.completion_tokens ?? 0) - 1);
    for (const entry of content) {
      expect(entry.top_logprobs).toHaveLength(3);
      expect(entry.top_logprobs[0]).toMatchObject({ token: entry.token, logprob: entry.logprob });
      const mass = entry.top_logprobs.reduce((sum, { logprob }) => sum + Math.exp(logprob), 0);
      expect(mass).toBeLessThanOrEqual(1 + 1e-4);
    }
    const bytes = content.flatMap((entry) => entry.bytes ?? []);
    expect(Buffer.from(bytes).toString()).toContain(choices[0]?.message.content?.slice(0, 10));
  });

  it('gives several answers to one prompt, the same ones for the same seed', async () => {
    const request = { model, messages: ask, n: 3, seed: 5, temperature: 1, max_tokens: 16 };
    const texts = async () =>
      (await client.chat.completions.create(request)).choices.map(({ message }) => message.content);
    const first = await texts();
    expect(new Set(first).size).toBe(3);
    expect(await texts()).toEqual(first);
  });

  it('continues raw prompts, several at once, as texts or as tokens', async () => {
    const create = (prompt: string | string[] | number[]) =>
      client.completions.create({ model, prompt, max_tokens: 8, temperature: 0, echo: true });
    const one = await create('The capital of France is');
    expect(one.choices[0]?.text).toMatch(/^The capital of France is.*Paris/);
    const both = await create(['The capital of France is', 'One, two, three,']);
    expect(both.choices.map(({ index }) => index)).toEqual([0, 1]);
    expect(both.choices[0]?.text).toBe(one.choices[0]?.text);
    expect(both.choices[1]?.text).toMatch(/^One, two, three, four/);
    expect((await create([504, 3575, 282])).choices[0]?.text.length).toBeGreaterThan(3);
    await expect(create([1_000_000])).rejects.toMatchObject({ status: 400, code: 'INVALID_REQUEST' });
  });

  it('lets go of a turn whose client goes away', async () => {
    const stream = client.chat.completions.stream({
      model,
      messages: ask,
      max_tokens: 6000,
      ...{ ignore_eos: true },
    });
    stream.on('content', () => stream.abort());
    await expect(stream.finalContent()).rejects.toThrow(OpenAI.APIUserAbortError);
    const running = async () =>
      (await server.json<{ running_turns: number }>('/v1/admin/stats')).running_turns;
    // Much sooner than six thousand tokens would take.
    await until(async () => (await running()) === 0, 'no turn is running', 3000);
  });

  it.each<[string, object, number]>([
    ['MODEL_NOT_FOUND', { model: 'gpt-5' }, 404],
    ['INVALID_REQUEST', { temperature: 3 }, 400],
    ['UNSUPPORTED_FIELD', { modalities: ['audio'] }, 400],
    ['CONTEXT_OVERFLOW', { messages: [{ role: 'user', content: 'too long '.repeat(9000) }] }, 400],
  ])('refuses with %s', async (code, fields, status) => {
    const request = client.chat.completions.create({ model, messages: ask, max_tokens: 10, ...fields });
    await expect(request).rejects.toMatchObject({ status, code });
  });

  it('is tried again when it has asked for patience', async () => {
    const patient = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 3 });
    const turn = (to: OpenAI) =>
      to.chat.completions.create({ model, messages: ask, max_tokens: 1, ...{ session_id: 'eager' } });
    const first = await Promise.allSettled(Array.from({ length: 31 }, () => turn(client)));
    const refused = first.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []));
    expect(refused.length).toBeGreaterThan(0);
    for (const reason of refused) expect(reason).toBeInstanceOf(OpenAI.RateLimitError);
    expect((await turn(patient)).choices[0]?.finish_reason).toBe('length');
  });

  it('makes agents that have begun, and brings those from disk that are wanted soon', async () => {
    const begun = {
      agent_id: 'begun',
      system: 'You are a poet.',
      messages: [
        { role: 'user', content: 'My name is Ada.' },
        { role: 'assistant', content: 'Hello Ada.' },
      ],
    };
    const made = await Promise.all([server.post('/v1/agents', begun), server.post('/v1/agents', begun)]);
    expect(made.map((response) => response.status).sort()).toEqual([201, 409]);
    const cold = await server.turn('begun', 'What is my name?');
    // The whole opening has been read, not the message alone.
    expect(cold.usage.prompt_tokens).toBeGreaterThan(30);
    const tier = async () => (await server.json<AgentBody>('/v1/agents/begun')).tier;
    expect((await server.post('/v1/agents/begun/evict', {})).status).toBe(200);
    expect(await tier()).toBe('warm');
    expect((await server.post('/v1/agents/begun/load', {})).status).toBe(200);
    expect(await tier()).toBe('hot');
    const back = await server.turn('begun', 'Thank you');
    expect(back.usage.own_tokens).toBeGreaterThanOrEqual(cold.usage.prompt_tokens);
    expect(back.usage.restored_tokens).toBe(0);
  });
});

describe('an engine that says what it is told', () => {
  const tricky = { city: 'Oslo </tool_call> "quoted" {braces} é', days: 3 };
  // With the space that strict tools are held to.
  const call = `<tool_call>\n{"name": "get_weather", "arguments": ${JSON.stringify(tricky)}}\n</tool_call>`;
  let server: ScriptedServer;
  let client: OpenAI;

  beforeAll(async () => {
    server = await ScriptedServer.start([
      { match: 'Rain in', answer: 'It rains.' },
      { match: 'weather in Oslo', answer: call },
      { match: 'both cities', answer: `Two at once.\n${call}\n${call}` },
      { match: 'Count', answer: 'one two three four' },
    ]);
    client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 });
  });
  afterAll(() => server.stop());

  it.each([false, true])(
    'calls tools and reads their answers, from its cache (stream: %s)',
    async (stream) => {
      const asked: unknown[] = [];
      const params = {
        model,
        messages: [...ask],
        session_id: `weather-${stream}`,
        tools: [
          {
            type: 'function' as const,
            function: {
              name: 'get_weather',
              description: 'Weather of a city',
              parameters,
              parse: JSON.parse as (text: string) => object,
              function: (given: object) => {
                asked.push(given);
                return 'Rain in Oslo';
              },
            },
          },
        ],
      };
      const runner = stream
        ? client.chat.completions.runTools({
            ...params,
            stream: true,
            stream_options: { include_usage: true },
          })
        : client.chat.completions.runTools(params);
      expect(await runner.finalContent()).toBe('It rains.');
      expect(asked).toEqual([tricky]);
      const [first, second] = runner.allChatCompletions().map(({ usage }) => usage);
      const read = (first?.prompt_tokens ?? 0) + (first?.completion_tokens ?? 0);
      // Prompt and call were kept; only the tool's answer is new.
      expect(second?.prompt_tokens_details?.cached_tokens).toBeGreaterThanOrEqual(read - 2);
    },
  );

  it('calls twice in one answer, with text before', async () => {
    // Of a strict tool the grammar says how a call is spelled, and another spelling would not be taken.
    const tools = [{ ...weather, function: { ...weather.function, strict: false } }];
    const { choices } = await client.chat.completions
      .stream({ model, messages: [{ role: 'user', content: 'Ask for both cities' }], tools })
      .finalChatCompletion();
    expect(choices[0]?.message.content?.trim()).toBe('Two at once.');
    const calls = choices[0]?.message.tool_calls ?? [];
    expect(calls.map((one) => JSON.parse(one.function.arguments) as unknown)).toEqual([tricky, tricky]);
    expect(new Set(calls.map(({ id }) => id)).size).toBe(2);
    expect(choices[0]?.finish_reason).toBe('tool_calls');
  });

  it.each([false, true])('stops at a text (stream: %s)', async (isStream) => {
    const request = {
      model,
      messages: [{ role: 'user' as const, content: 'Count' }],
      stop: ['nine', ' three'],
    };
    const { choices } = isStream
      ? await client.chat.completions.stream(request).finalChatCompletion()
      : await client.chat.completions.create(request);
    expect(choices[0]).toMatchObject({ finish_reason: 'stop', message: { content: 'one two' } });
  });
});

describe('a model that thinks', () => {
  const messages = [{ role: 'user' as const, content: 'Rain or sun?' }];
  let server: ScriptedServer;
  let client: OpenAI;

  beforeAll(async () => {
    server = await ScriptedServer.start(
      [
        { match: '<think>\n\n</think>', answer: 'Rain.' },
        { match: 'Rain or sun', answer: '<think>\nLook up.\n</think>\n\nSun.' },
      ],
      { model: tinyChatModel(qwen) },
    );
    client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 });
  });
  afterAll(() => server.stop());

  it('tells its thoughts beside what it says, and how many tokens they took', async () => {
    const { choices, usage } = await client.chat.completions.create({ model: 'tiny-chat', messages });
    expect(choices[0]?.message).toMatchObject({ content: 'Sun.', reasoning_content: 'Look up.' });
    expect(usage?.completion_tokens_details?.reasoning_tokens).toBeGreaterThan(0);
    const heard = { content: '', reasoning_content: '' };
    const stream = await client.chat.completions.create({ model: 'tiny-chat', messages, stream: true });
    for await (const chunk of stream) {
      const delta = { ...chunk.choices[0]?.delta } as Partial<typeof heard>;
      heard.content += delta.content ?? '';
      heard.reasoning_content += delta.reasoning_content ?? '';
    }
    expect(heard).toEqual({ content: 'Sun.', reasoning_content: 'Look up.' });
  });

  it('does not think when no effort is wanted', async () => {
    const { choices } = await client.chat.completions.create({
      model: 'tiny-chat',
      messages,
      reasoning_effort: 'none',
    });
    expect(choices[0]?.message).toMatchObject({ content: 'Rain.' });
    expect(choices[0]?.message).not.toHaveProperty('reasoning_content');
  });
});
