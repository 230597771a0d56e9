/** One conversation with tools, through our own engine: in this process, and over HTTP as OpenAI and Anthropic speak. */
import { beforeEach, describe, expect, it } from 'vitest';
import type { Message } from '../../../ts/clutch/conversation.js';
import type { EngineModels } from '../../../ts/clutch/providers/engine.js';
import { openProvider } from '../../../ts/clutch/providers/open-provider.js';
import type { Provider, ProviderEvent, ProviderRequest } from '../../../ts/clutch/providers/provider.js';
import type { Engine } from '../../../ts/engine/engine.js';
import { StompError } from '../../../ts/errors.js';
import { createServer, type StompServer } from '../../../ts/serve/index.js';
import { tinyChatModel } from '../../e2e/scripted-process.js';
import { qwen } from '../../unit/engine/tools/templates.js';
import { load } from '../engine/engines.js';

const model = 'tiny-chat';
const call = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call>';
const answers = [
  { match: 'Rain in Oslo', answer: '<think>\nIt is known.\n</think>\n\nIt rains.' },
  { match: 'weather in Oslo', answer: `<think>\nAsk the tool.\n</think>\n\nOne moment.\n${call}` },
  { match: 'Count', answer: 'one two three four five six seven eight' },
];
const weather = {
  name: 'get_weather',
  description: 'Weather of a city',
  parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
};

let engine: Engine;
let server: StompServer;
let url: string;
const opened: Provider[] = [];

beforeEach(async () => {
  engine = await load(tinyChatModel(qwen), {
    script: (prompt) => answers.find(({ match }) => prompt.includes(match))?.answer,
  });
  server = createServer(engine, { model });
  ({ url } = await server.listen({ port: 0 }));
  return async () => {
    await Promise.all(opened.splice(0).map((provider) => provider.close()));
    await server.close();
  };
});

/** An engine that stays, as a registry shows it. */
function models(): EngineModels {
  return {
    current: () => ({ model, aliases: [] }),
    acquire: async () => ({ engine, signal: new AbortController().signal, release: () => undefined }),
  };
}

function openAs(name: string): Provider {
  const baseUrl = { engine: undefined, openai: `${url}/v1`, anthropic: url }[name];
  // Anthropic's form tells thoughts to those who ask for them.
  const thinking = name === 'anthropic' ? ('adaptive' as const) : undefined;
  const provider = openProvider(name, { baseUrl, thinking }, { models: models() });
  opened.push(provider);
  return provider;
}

function request(fields: Partial<ProviderRequest>): ProviderRequest {
  return {
    model,
    system: 'Be brief.',
    context: ['A file.'],
    messages: [{ role: 'user', text: 'What is the weather in Oslo?' }],
    tools: [weather],
    temperature: 0,
    maxTokens: 2000,
    agentId: 'ada',
    signal: new AbortController().signal,
    ...fields,
  };
}

describe.each(['engine', 'openai', 'anthropic'])('%s', (name) => {
  it('thinks, calls a tool, reads its result, and finds what it has read in its cache', async () => {
    const provider = openAs(name);
    const heard: ProviderEvent[] = [];
    const first = await provider.send(request({}), (event) => heard.push(event));
    expect(first).toMatchObject({ reasoning: 'Ask the tool.', finish: 'calls' });
    expect(first.text.trim()).toBe('One moment.');
    expect(first.calls).toMatchObject([{ name: 'get_weather', arguments: expect.stringContaining('Oslo') }]);
    const said = heard.map((event) => (event.type === 'text' ? event.text : '')).join('');
    expect(said).toBe(first.text);
    const { text, calls, kept } = first;
    const results = calls.map((one) => ({
      id: one.id,
      name: one.name,
      output: 'Rain in Oslo',
      failed: false,
    }));
    const messages: Message[] = [
      ...request({}).messages,
      { role: 'assistant', text, calls, kept: { provider: name, content: kept } },
      { role: 'tool', results },
    ];
    const second = await provider.send(request({ messages }), () => undefined);
    expect(second).toMatchObject({ text: 'It rains.', finish: 'stop', calls: [] });
    // All of the first prompt, at least.
    expect(second.usage.cached).toBeGreaterThanOrEqual(first.usage.input - 1);
    expect(second.usage.input).toBeGreaterThan(first.usage.input);
  });

  it('says when an answer was cut by its length', async () => {
    const messages: Message[] = [{ role: 'user', text: 'Count' }];
    const { finish, usage } = await openAs(name).send(
      request({ messages, tools: [], maxTokens: 3 }),
      () => undefined,
    );
    expect({ finish, output: usage.output }).toEqual({ finish: 'length', output: 3 });
  });

  it('lets go of the engine when it is aborted', async () => {
    const stop = new AbortController();
    const messages: Message[] = [{ role: 'user', text: 'Count' }];
    const asking = openAs(name).send(request({ messages, tools: [], signal: stop.signal }), () =>
      stop.abort(),
    );
    await expect(asking).rejects.toMatchObject({ code: 'CANCELLED' });
    await expect.poll(async () => (await engine.stats()).liveGenerations).toBe(0);
  });
});

describe('the own engine', () => {
  it('leaves out old turns that its context does not hold', async () => {
    const { contextTokens } = engine.info;
    const long = 'x '.repeat(contextTokens * 2);
    const messages: Message[] = [
      { role: 'user', text: long },
      { role: 'assistant', text: 'Yes.', calls: [] },
      { role: 'user', text: 'Count' },
    ];
    const { text, usage } = await openAs('engine').send(request({ messages, tools: [] }), () => undefined);
    expect(text).toContain('one two');
    expect(usage.input).toBeLessThan(200);
  });

  it('refuses the name of another model', async () => {
    await expect(openAs('engine').send(request({ model: 'other' }), () => undefined)).rejects.toMatchObject({
      code: 'MODEL_NOT_FOUND',
    });
  });

  it('is asked again when its model had to go', async () => {
    let taken = 0;
    const { current, acquire } = models();
    const leaving: EngineModels = {
      current,
      acquire: async (signal) => {
        const lease = await acquire(signal);
        // Each attempt takes three leases: its limit, its count, its answer.
        if (++taken !== 3) return lease;
        const reason = new StompError('MODEL_SWAP', 'Another model comes.');
        return { ...lease, signal: AbortSignal.abort(reason) };
      },
    };
    const provider = openProvider('engine', {}, { models: leaving });
    opened.push(provider);
    const heard: ProviderEvent[] = [];
    const messages: Message[] = [{ role: 'user', text: 'Count' }];
    const { text } = await provider.send(request({ messages, tools: [] }), (event) => heard.push(event));
    expect(text).toContain('one two');
    expect(heard[0]).toMatchObject({ type: 'retry', reason: 'Another model comes' });
  });
});
