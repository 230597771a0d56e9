/** One real server with a tiny model: what it answers, to good requests and to bad ones. */
import { beforeAll, describe, expect, it } from 'vitest';
import { type AgentBody, type ServerProcess, serve } from './server-process.js';

const chat = '/v1/chat/completions';
const hello = [{ role: 'user', content: 'Hello there' }];
let server: ServerProcess;

beforeAll(async () => {
  server = await serve({ shared: true, args: ['--numerics', 'exact', '--max-batch-size', '8'] });
});

interface WireError {
  error: {
    code: string;
    message: string;
    param: string | null;
    type: string;
    fields: Record<string, number>;
  };
}

interface Completion {
  agent_id: string;
  choices: { message: { content: string }; finish_reason: string }[];
  usage: {
    prompt_tokens: number;
    completion_tokens: number;
    prompt_tokens_details: { cached_tokens: number };
  };
}

describe('the server', () => {
  it('says what it serves, how, and where', () => {
    expect(server.out).toMatch(/^ {2}model +tiny-llama\.Q4_1: .*llama, 3 layers, 512 tokens of context$/m);
    expect(server.out).toMatch(/^ {2}executor +cpu\b.*, \d+ threads?, numerics \S+$/m);
    expect(server.out).toMatch(/^ {2}memory +weights .+, caches .+ \(\d+ tokens\), scratch .+$/m);
    expect(server.out).toContain(server.cacheDir);
    expect(server.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
  });

  it('is live, started and ready', async () => {
    for (const probe of ['live', 'startup', 'ready']) {
      expect((await fetch(`${server.url}/health/${probe}`)).status).toBe(200);
    }
  });

  it('listens on this machine only', async () => {
    const response = await fetch(`${server.url}/v1/models`, {
      headers: { origin: 'https://elsewhere.example' },
    });
    expect(response.status).toBe(403);
  });

  it('streams events', async () => {
    const response = await server.post(chat, {
      messages: hello,
      stream: true,
      max_tokens: 8,
      ignore_eos: true,
    });
    expect(response.headers.get('content-type')).toContain('text/event-stream');
    const data = (await response.text()).split('\n\n').filter((event) => event !== '');
    expect(data[0]).toContain('"role":"assistant"');
    expect(data.at(-2)).toContain('"finish_reason":"length"');
    expect(data.at(-1)).toBe('data: [DONE]');
  });

  it('computes only what is new when a session comes back', async () => {
    const first = (await (
      await server.post(chat, { messages: hello, session_id: 'back', max_tokens: 8 })
    ).json()) as Completion;
    expect(first.agent_id).toBe('back');
    const answer = first.choices[0]?.message.content ?? '';
    const messages = [...hello, { role: 'assistant', content: answer }, { role: 'user', content: 'Go on' }];
    const second = (await (
      await server.post(chat, { messages, session_id: 'back', max_tokens: 8 })
    ).json()) as Completion;
    const cached = second.usage.prompt_tokens_details.cached_tokens;
    expect(cached).toBeGreaterThanOrEqual(first.usage.prompt_tokens);
    expect(second.usage.prompt_tokens - cached).toBeLessThan(second.usage.prompt_tokens / 2);
  });

  it('gives each of eight agents at once what it gets alone', async () => {
    const ask = async (agent: string): Promise<string> => {
      const number = agent.replace(/\D/g, '');
      return (await server.turn(agent, `Tell me of number ${number}`, { max_tokens: 24, ignore_eos: true }))
        .text;
    };
    const together = await Promise.all(Array.from({ length: 8 }, (_, i) => ask(`together-${i}`)));
    for (let i = 0; i < 8; i++) expect(await ask(`alone-${i}`)).toBe(together[i]);
  });

  it('forks, shows, evicts and deletes agents', async () => {
    await server.turn('parent', 'Remember this');
    expect((await server.post('/v1/agents/parent/fork', { agent_id: 'child' })).status).toBe(201);
    const child = await server.turn('child', 'And now this');
    expect(child.usage.cached_tokens).toBeGreaterThan(0);
    expect((await server.post('/v1/agents/parent/evict', {})).status).toBe(200);
    expect((await server.json<AgentBody>('/v1/agents/parent')).tier).toBe('warm');
    expect((await server.turn('parent', 'Again')).usage.cached_tokens).toBeGreaterThan(0);
    expect((await fetch(`${server.url}/v1/agents/child`, { method: 'DELETE' })).status).toBe(200);
    expect((await fetch(`${server.url}/v1/agents/child`)).status).toBe(404);
    const { data } = await server.json<{ data: AgentBody[] }>('/v1/agents');
    expect(data.map((agent) => agent.agent_id)).toContain('parent');
  });

  it('counts what it did', async () => {
    expect(await server.metric('stomp_tokens_generated_total')).toBeGreaterThan(0);
    expect(await server.metric('stomp_cache_hit_total')).toBeGreaterThan(0);
    expect(await server.metric('stomp_memory_used_bytes{kind="pool"}')).toBeGreaterThan(0);
    expect(await server.metric('stomp_time_to_first_token_seconds_count')).toBeGreaterThan(0);
  });
});

describe('a bad request', () => {
  const cases: [name: string, path: string, body: unknown, status: number, code: string][] = [
    ['not JSON', chat, '{"messages": [', 400, 'INVALID_REQUEST'],
    ['empty', chat, '', 400, 'INVALID_REQUEST'],
    ['a list', chat, '[]', 400, 'INVALID_REQUEST'],
    ['no messages', chat, {}, 400, 'INVALID_REQUEST'],
    ['no content', chat, { messages: [{ role: 'user' }] }, 400, 'INVALID_REQUEST'],
    ['an unknown role', chat, { messages: [{ role: 'king', content: '' }] }, 400, 'INVALID_REQUEST'],
    ['an unknown field', chat, { messages: hello, temprature: 1 }, 400, 'INVALID_REQUEST'],
    [
      'a tool without a name',
      chat,
      { messages: hello, tools: [{ type: 'function' }] },
      400,
      'INVALID_REQUEST',
    ],
    [
      'an image',
      chat,
      { messages: [{ role: 'user', content: [{ type: 'image_url' }] }] },
      400,
      'UNSUPPORTED_FIELD',
    ],
    ['a negative limit', chat, { messages: hello, max_tokens: -1 }, 400, 'INVALID_REQUEST'],
    ['a temperature in words', chat, { messages: hello, temperature: 'hot' }, 400, 'INVALID_REQUEST'],
    ['deep nesting', chat, `${'['.repeat(1e6)}`, 400, 'INVALID_REQUEST'],
    ['another model', chat, { messages: hello, model: 'gpt-4o' }, 404, 'MODEL_NOT_FOUND'],
    [
      'too large',
      chat,
      { messages: [{ role: 'user', content: 'x'.repeat(34e6) }] },
      413,
      'PAYLOAD_TOO_LARGE',
    ],
    ['an agent with a slash', '/v1/agents/a%2Fb/generate', { message: 'Hi' }, 400, 'INVALID_REQUEST'],
    ['a session with a slash', chat, { messages: hello, session_id: 'a/b' }, 400, 'INVALID_REQUEST'],
    ['an agent that is not', '/v1/agents/nobody/save', '', 404, 'AGENT_NOT_FOUND'],
    ['no route', '/v1/nothing', {}, 404, 'NOT_FOUND'],
  ];

  it.each(cases)('%s', async (_, path, body, status, code) => {
    const response = await server.post(path, body);
    const { error } = (await response.json()) as WireError;
    expect({ status: response.status, code: error.code }).toEqual({ status, code });
    expect(error.message).not.toBe('');
    expect((await fetch(`${server.url}/health/ready`)).status).toBe(200);
  });

  it('a prompt longer than the context, with both counts', async () => {
    const messages = [{ role: 'user', content: 'word and word again '.repeat(400) }];
    for (const stream of [false, true]) {
      const response = await server.post(chat, { messages, stream });
      expect(response.status).toBe(400);
      const { error } = (await response.json()) as WireError;
      expect(error.code).toBe('CONTEXT_OVERFLOW');
      const counts = Object.values(error.fields).map(Number);
      expect(counts).toContain(512);
      expect(Math.max(...counts)).toBeGreaterThan(512);
    }
  });
});
