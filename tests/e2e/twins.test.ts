/** Conversations without names that begin alike, and a server that dies between their turns. */
import { afterEach, describe, expect, it } from 'vitest';
import { ScriptedServer, tinyChatModel } from './scripted-process.js';
import { type AgentBody, temporaryFolder, until } from './server-process.js';

const setup = { model: tinyChatModel(), cacheDir: '' };
const servers: ScriptedServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop('SIGKILL');
});

const script = [
  ...['bake', 'mend', 'count'].map((word) => ({ match: word, answer: `I shall ${word} with all my care.` })),
  { match: 'ait for', answer: 'I am here.' },
];

async function start(cacheDir: string): Promise<ScriptedServer> {
  const server = await ScriptedServer.start(script, { ...setup, cacheDir });
  servers.push(server);
  return server;
}

/** As soon as everybody is on disk. */
async function killed(server: ScriptedServer, cacheDir: string): Promise<ScriptedServer> {
  await until(async () => {
    const { data } = await server.json<{ data: AgentBody[] }>('/v1/agents');
    return data.length > 0 && data.every(({ saved }) => saved);
  }, 'every agent is on disk');
  await server.stop('SIGKILL');
  return start(cacheDir);
}

interface Reply {
  readonly agent: string | null;
  readonly text: string;
  readonly cached: number;
  readonly tokens: number;
}

type Message = { role: 'user' | 'assistant'; content: string };
type Ask = (url: string, messages: readonly Message[]) => Promise<Reply>;

async function post(url: string, body: object) {
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });
  if (response.status !== 200) throw new Error(await response.text());
  return { agent: response.headers.get('x-agent-id'), body: await response.json() };
}

const protocols: [string, Ask][] = [
  [
    "OpenAI's",
    async (url, messages) => {
      const { agent, body } = await post(`${url}/v1/chat/completions`, { messages });
      const { choices, usage } = body as {
        choices: [{ message: { content: string } }];
        usage: { total_tokens: number; prompt_tokens_details: { cached_tokens: number } };
      };
      const cached = usage.prompt_tokens_details.cached_tokens;
      return { agent, text: choices[0].message.content, cached, tokens: usage.total_tokens };
    },
  ],
  [
    "Anthropic's",
    async (url, messages) => {
      const { agent, body } = await post(`${url}/v1/messages`, {
        model: 'tiny-chat',
        max_tokens: 64,
        messages,
      });
      const { content, usage } = body as {
        content: [{ text: string }];
        usage: { input_tokens: number; cache_read_input_tokens: number; output_tokens: number };
      };
      const cached = usage.cache_read_input_tokens;
      return {
        agent,
        text: content[0].text,
        cached,
        tokens: usage.input_tokens + cached + usage.output_tokens,
      };
    },
  ],
];

/** A client that sends all of its conversation every time. */
class Client {
  readonly #messages: Message[] = [];
  readonly #ask: Ask;
  last: Reply | undefined;

  constructor(ask: Ask) {
    this.#ask = ask;
  }

  async says(content: string, { url }: ScriptedServer): Promise<void> {
    this.#messages.push({ role: 'user', content });
    this.last = await this.#ask(url, this.#messages);
    this.#messages.push({ role: 'assistant', content: this.last.text });
  }
}

describe.each(protocols)('twins by %s protocol', (_, ask) => {
  it('keep their agents and caches over kill -9, whichever comes first', async () => {
    const cacheDir = temporaryFolder();
    let server = await start(cacheDir);
    const tasks = ['bake', 'mend', 'count'];
    const twins = tasks.map(() => new Client(ask));
    for (const [i, twin] of twins.entries()) {
      await twin.says('You work for me now; wait for what I have for you.', server);
      await twin.says(`Please ${tasks[i]} this.`, server);
    }
    const names = twins.map(({ last }) => last?.agent);
    expect(new Set(names).size).toBe(3);
    for (const order of [
      [2, 1, 0],
      [1, 0, 2],
    ]) {
      server = await killed(server, cacheDir);
      for (const i of order) {
        const twin = twins[i] as Client;
        const before = twin.last;
        await twin.says('And on.', server);
        expect(twin.last?.agent, tasks[i]).toBe(names[i]);
        // The last token of an answer may have no place in the cache yet.
        expect(twin.last?.cached, tasks[i]).toBeGreaterThanOrEqual((before?.tokens ?? 0) - 1);
      }
    }
  });

  it('are told apart from one that comes after the restart', async () => {
    const cacheDir = temporaryFolder();
    let server = await start(cacheDir);
    const first = new Client(ask);
    for (const text of ['Wait for me.', 'Please bake this.']) await first.says(text, server);
    const name = first.last?.agent;
    server = await killed(server, cacheDir);
    const second = new Client(ask);
    for (const text of ['Wait for me.', 'Please mend this.']) await second.says(text, server);
    await first.says('And on.', server);
    expect(first.last?.agent).toBe(name);
    expect(second.last?.agent).not.toBe(name);
  });
});
