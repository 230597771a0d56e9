/** Many streams at once, of every kind and both protocols, for as long as it takes to see what they leave behind. */
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { type ServerProcess, serve, tinyModel, until } from './server-process.js';

const scale = Number(process.env['STOMP_TEST_SCALE'] ?? 1);
const isNight = scale > 1;
const model = isNight ? 'smollm2-135m' : tinyModel;
const streams = 32;
const warmUpMs = 4000 * scale;
const loadMs = 8000 * scale;

const parameters = {
  type: 'object',
  properties: { city: { type: 'string', maxLength: 8 }, days: { type: 'integer', minimum: 1, maximum: 9 } },
  required: ['city', 'days'],
  additionalProperties: false,
};
const weather = { name: 'get_weather', description: 'The weather in a city' };
const messagesOf = (text: string) => [{ role: 'user', content: text }];
const openai = { stream: true, max_tokens: 64, ignore_eos: true };
const anthropic = { stream: true, max_tokens: 64, model: 'any' };

interface Kind {
  readonly path: string;
  body(text: string): object;
  /** What a stream that is complete ends with. */
  readonly end: RegExp;
  /** What is in every one of them. */
  readonly has: RegExp;
}

const done = /data: \[DONE\]\n\n$/;
const stopped = /event: message_stop\ndata: [^\n]*\n\n$/;
const kinds: Readonly<Record<string, Kind>> = {
  chat: {
    path: '/v1/chat/completions',
    body: (text) => ({ ...openai, messages: messagesOf(text), stream_options: { include_usage: true } }),
    end: done,
    has: /"completion_tokens":64/,
  },
  completion: {
    path: '/v1/completions',
    body: (text) => ({ ...openai, prompt: text, temperature: 1 }),
    end: done,
    has: /"finish_reason":"length"/,
  },
  'chat with a forced call': {
    path: '/v1/chat/completions',
    body: (text) => ({
      stream: true,
      max_tokens: 64,
      messages: messagesOf(text),
      tools: [{ type: 'function', function: { ...weather, parameters } }],
      tool_choice: 'required',
    }),
    end: done,
    has: /"name":"get_weather"/,
  },
  'chat in a form': {
    path: '/v1/chat/completions',
    body: (text) => ({
      stream: true,
      max_tokens: 64,
      messages: messagesOf(text),
      response_format: { type: 'json_schema', json_schema: { name: 'where', schema: parameters } },
    }),
    end: done,
    has: /"finish_reason":"(stop|length)"/,
  },
  message: {
    path: '/v1/messages',
    body: (text) => ({ ...anthropic, messages: messagesOf(text) }),
    end: stopped,
    has: /"stop_reason":"(end_turn|max_tokens)"/,
  },
  'message with a forced call': {
    path: '/v1/messages',
    body: (text) => ({
      ...anthropic,
      messages: messagesOf(text),
      tools: [{ ...weather, input_schema: parameters }],
      tool_choice: { type: 'any' },
    }),
    end: stopped,
    has: /"name":"get_weather"/,
  },
  'turn of an agent': {
    path: '/v1/agents/NAME/generate',
    body: (text) => ({ ...openai, messages: messagesOf(text) }),
    end: done,
    has: /"finish_reason":"length"/,
  },
};

/** Some prompts are shared between clients, some between the turns of one, the others are new. */
function question(number: number, turn: number): string {
  return ['Question of all?', `Question ${number}?`, `Question ${number}-${turn}?`][turn % 3] ?? '';
}

/** @throws when the stream is not complete. */
async function stream(server: ServerProcess, name: string, number: number, turn: number): Promise<void> {
  const { path, body, end, has } = kinds[name] as Kind;
  const agent = `load-${number}`;
  const response = await server.post(path.replace('NAME', agent), body(question(number, turn)), {
    'x-agent-id': agent,
  });
  const answer = await response.text();
  if (response.status === 200 && end.test(answer) && has.test(answer)) return;
  throw new Error(`${name}: ${response.status} ${answer.slice(-1500)}`);
}

/** One client: a stream after the other until the time is over. How many were complete, of each kind. */
async function client(server: ServerProcess, number: number, untilMs: number): Promise<Map<string, number>> {
  const names = Object.keys(kinds);
  const counts = new Map<string, number>();
  for (let turn = 0; performance.now() < untilMs; turn++) {
    const name = names[(number + turn) % names.length] ?? '';
    await stream(server, name, number, turn);
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return counts;
}

async function load(server: ServerProcess, ms: number): Promise<Record<string, number>> {
  const end = performance.now() + ms;
  const all = await Promise.all(Array.from({ length: streams }, (_, i) => client(server, i, end)));
  const sum = (name: string) => all.reduce((total, counts) => total + (counts.get(name) ?? 0), 0);
  return Object.fromEntries(Object.keys(kinds).map((name) => [name, sum(name)]));
}

interface Stats {
  readonly rss_bytes: number;
  readonly running_turns: number;
  readonly engine: {
    readonly live_generations: number;
    readonly active: number;
    readonly waiting: number;
    readonly decode_tokens: number;
    readonly pool: readonly {
      readonly capacity: number;
      readonly free: number;
      readonly cached: number;
      readonly block_bytes: number;
    }[];
  };
}
const stats = (server: ServerProcess) => server.json<Stats>('/v1/admin/stats');

/** Without the pool, which has a size of its own, after a while in which what can be given back is given back. */
async function restingBytes(server: ServerProcess): Promise<number> {
  await delay(1000);
  const { rss_bytes, engine } = await stats(server);
  return engine.pool.reduce(
    (bytes, group) => bytes - (group.capacity - group.free) * group.block_bytes,
    rss_bytes,
  );
}

describe('thirty-two streams at once', () => {
  it(
    'are all complete, and leave neither turns nor blocks nor memory behind',
    async () => {
      const server = await serve({ model, args: ['--model-alias', 'any', '--log-level', 'warn'] });
      await load(server, warmUpMs);
      const before = await restingBytes(server);
      // A reading begins the figures anew.
      await server.metric('stomp_event_loop_delay_seconds{quantile="0.99"}');
      const tokensBefore = (await stats(server)).engine.decode_tokens;
      const complete = await load(server, loadMs);
      const late = await server.metric('stomp_event_loop_delay_seconds{quantile="0.99"}');
      const tokens = (await stats(server)).engine.decode_tokens - tokensBefore;
      const grown = (await restingBytes(server)) - before;

      for (const [kind, count] of Object.entries(complete)) expect(count, kind).toBeGreaterThan(0);
      const { running_turns, engine } = await stats(server);
      expect([running_turns, engine.live_generations, engine.active, engine.waiting]).toEqual([0, 0, 0, 0]);
      expect((await server.post('/v1/admin/caches/clear', { disk: true })).status).toBe(200);
      const isEmpty = async () =>
        (await stats(server)).engine.pool.every(
          ({ capacity, free, cached }) => free === capacity && cached === 0,
        );
      await until(isEmpty, 'all blocks are free');

      console.log(
        `${Object.values(complete).reduce((a, b) => a + b)} streams, ${Math.round((tokens / loadMs) * 1000)} tokens/s, ` +
          `event loop p99 ${(late * 1000).toFixed(1)} ms, memory ${(grown / 2 ** 20).toFixed(1)} MB more`,
      );
      expect(grown).toBeLessThan(96 << 20);
      expect(late).toBeLessThan(1);
      const { code, err } = await server.stop('SIGTERM');
      expect([code, err.match(/^\{.*$/gm)]).toEqual([0, null]);
    },
    300_000 + 15_000 * scale,
  );
});
