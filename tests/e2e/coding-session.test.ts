/** A coding agent and its sub-agents at work: whole calls, stable names, and caches that hold what they can. */
import { afterEach, describe, expect, it } from 'vitest';
import { ScriptedServer, tinyChatModel } from './scripted-process.js';
import { type AgentBody, temporaryFolder, until } from './server-process.js';
import {
  AnthropicReplay,
  OpenAiReplay,
  parts,
  type Replay,
  scriptOf,
  session,
  type Turn,
} from './session-replay.js';

/** Of what is shared with other agents, how much must be found: a block may end within it. */
const kept = 0.99;

const servers: ScriptedServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop('SIGKILL');
});

async function start(setup: { model: string; cacheDir: string }): Promise<ScriptedServer> {
  const server = await ScriptedServer.start(scriptOf(session), setup);
  servers.push(server);
  return server;
}

/** Everybody is on disk; then the server dies, and another one takes its place. */
async function killed(server: ScriptedServer, setup: { model: string; cacheDir: string }) {
  await until(async () => {
    const { data } = await server.json<{ data: AgentBody[] }>('/v1/agents');
    return data.length > 0 && data.every((agent) => agent.saved);
  }, 'every agent is on disk');
  await server.stop('SIGKILL');
  return start(setup);
}

/** @param deaths steps before which the server is killed. */
async function replayed(replay: Replay, deaths: readonly number[] = []): Promise<Turn[]> {
  const setup = { model: tinyChatModel(), cacheDir: temporaryFolder() };
  let server = await start(setup);
  const turns: Turn[] = [];
  for (const [i, step] of session.steps.entries()) {
    if (deaths.includes(i)) server = await killed(server, setup);
    turns.push(await replay.turn(server.url, step));
  }
  return turns;
}

function byConversation(turns: readonly Turn[]): Map<string, Turn[]> {
  const result = new Map<string, Turn[]>();
  for (const [i, step] of session.steps.entries()) {
    const turn = turns[i];
    if (turn) result.set(step.conversation, [...(result.get(step.conversation) ?? []), turn]);
  }
  return result;
}

function expectScript(turns: readonly Turn[]): void {
  const told = turns.map(({ text, calls }) => ({ text, calls }));
  expect(told).toEqual(session.steps.map((step) => parts(step.answer)));
}

function expectNames(turns: readonly Turn[]): void {
  const names = [...byConversation(turns).values()].map((own) => new Set(own.map(({ agent }) => agent)));
  for (const own of names) expect([...own]).toEqual([expect.stringMatching(/^[0-9a-f]{16}$/)]);
  expect(new Set(names.flatMap((own) => [...own])).size).toBe(names.length);
}

function expectCached(turns: readonly Turn[]): void {
  for (const [conversation, own] of byConversation(turns)) {
    for (const [i, turn] of own.entries()) {
      const before = own[i - 1];
      // All that was read and written; the last token of an answer may have no place in the cache yet.
      const possible = before ? before.prompt + before.answer - 1 : 0;
      const what = `turn ${i} of ${conversation}: ${turn.cached} of ${possible}, ${turn.missReason}`;
      expect(turn.cached, what).toBeGreaterThanOrEqual(possible);
      if (turn.cached === 0) expect(turn.missReason, what).toMatch(/./);
    }
  }
}

const protocols: [string, () => Replay][] = [
  ["Anthropic's", () => new AnthropicReplay()],
  ["OpenAI's", () => new OpenAiReplay()],
];

describe.each(protocols)('a session by %s protocol', (_, create) => {
  it('arrives as the model wrote it, and is found in the cache from turn to turn', async () => {
    const turns = await replayed(create());
    expectScript(turns);
    expectNames(turns);
    expectCached(turns);
  });

  it('goes on over kill -9 as if nothing had happened', async () => {
    // In the middle of a sub-agent's work, and between calls of the main one.
    const turns = await replayed(create(), [5, 9]);
    expectScript(turns);
    expectNames(turns);
    expectCached(turns);
  });
});

describe('sub-agents', () => {
  it('share tools and system prompt with the agent that started them', async () => {
    const replay = new AnthropicReplay();
    const server = await start({ model: tinyChatModel(), cacheDir: temporaryFolder() });
    const beginning = await replay.beginning(server.url);
    for (const [i, step] of session.steps.slice(0, 4).entries()) {
      const turn = await replay.turn(server.url, step);
      if (i === 3) expect(turn.cached).toBeGreaterThanOrEqual(kept * beginning);
    }
  });
});
