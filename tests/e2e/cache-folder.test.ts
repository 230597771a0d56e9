/** The folder of caches, copied and pruned by hand or from the command line. */
import { cpSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { type AgentBody, serve, stomp, temporaryFolder } from './server-process.js';

const args = ['--numerics', 'exact'];

it('copied elsewhere, it serves another server as it served the first', async () => {
  const first = await serve({ args });
  await first.turn('ann', 'Tell me about the sea');
  const fork = await first.post('/v1/agents/ann/fork', { agent_id: 'bob' });
  expect(fork.status).toBe(201);
  await first.turn('bob', 'And about the wind');
  await first.stop('SIGINT');
  const cacheDir = join(temporaryFolder(), 'brought', 'along');
  cpSync(first.cacheDir, cacheDir, { recursive: true });

  const [here, there] = await Promise.all([
    serve({ args, cacheDir: first.cacheDir }),
    serve({ args, cacheDir }),
  ]);
  for (const agent of ['ann', 'bob']) {
    const expected = await here.turn(agent, 'And what else');
    const turn = await there.turn(agent, 'And what else');
    expect(turn.usage.restored_tokens).toBeGreaterThan(0);
    expect(turn.text).toBe(expected.text);
    const { cached_tokens, restored_tokens, miss_reason } = expected.usage;
    expect(turn.usage).toMatchObject({ cached_tokens, restored_tokens, miss_reason });
  }
});

it('loses an agent that is removed, by a server that runs or without one', async () => {
  const server = await serve();
  for (const agent of ['Ann', 'bob', 'eve']) await server.turn(agent, 'Hello');
  const port = new URL(server.url).port;
  const asked = await stomp('agents', 'remove', 'Ann', '--port', port);
  expect(asked).toMatchObject({ code: 0 });
  expect(asked.out).toContain('Removed Ann from the server');
  const { data } = await server.json<{ data: AgentBody[] }>('/v1/agents');
  expect(data.map((agent) => agent.agent_id)).toEqual(['bob', 'eve']);
  const unknown = await stomp('agents', 'remove', 'Ann', '--port', port);
  expect(unknown.code).toBe(1);
  expect(unknown.err).toContain('There is no agent');

  // Where the server is not found, its lock is.
  const elsewhere = ['--port', '1', '--cache-dir', server.cacheDir];
  const locked = await stomp('agents', 'remove', 'eve', ...elsewhere);
  expect(locked.code).toBe(1);
  expect(locked.err).toMatch(/in use by process \d+/);
  await server.stop('SIGINT');
  const removed = await stomp('agents', 'remove', 'eve', ...elsewhere);
  expect(removed).toMatchObject({ code: 0 });
  expect(removed.out).toMatch(/Removed eve of .+ from /);
  expect(readdirSync(server.cacheDir, { recursive: true, encoding: 'utf8' }).join()).not.toContain('eve');
  const gone = await stomp('agents', 'remove', 'eve', ...elsewhere);
  expect(gone.code).toBe(1);
  expect(gone.err).toContain('There is no agent eve in');
  expect((await stomp('agents', ...elsewhere)).out).toMatch(/bob +.+ warm/);
});
