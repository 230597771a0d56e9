/** The guard of a real server, beside other processes on the same database. */
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { expect, it } from 'vitest';
import { main, type ServerProcess, serve, stomp, temporaryFolder } from './server-process.js';

interface Leases {
  leases: { resource_key: string; fencing_token: string }[];
}

const acquire = async (server: ServerProcess, body: object): Promise<Leases> => {
  const response = await server.post('/v1/locks', body, { 'x-agent-id': 'ann' });
  expect(response.status).toBe(201);
  return (await response.json()) as Leases;
};

it('keeps locks of HTTP, of MCP over HTTP and of other processes apart, and shows them', async () => {
  const server = await serve();
  expect(server.out).toContain(`locks in ${server.database}`);
  const { leases } = await acquire(server, { keys: ['code:/a'], ttl_ms: 600_000 });
  const http = new Client({ name: 'http', version: '1' });
  await http.connect(
    new StreamableHTTPClientTransport(new URL(`${server.url}/mcp`)) as Parameters<Client['connect']>[0],
  );
  const stdio = new Client({ name: 'stdio', version: '1' });
  const args = [main, 'mcp', '--database', server.database];
  await stdio.connect(
    new StdioClientTransport({ command: process.execPath, args, cwd: temporaryFolder(), stderr: 'ignore' }),
  );
  for (const client of [http, stdio]) {
    const busy = await client.callTool({ name: 'lock_acquire', arguments: { keys: ['code:/a'] } });
    expect(busy.structuredContent).toMatchObject({
      error: { code: 'RESOURCE_BUSY', holder_agent_id: 'ann' },
    });
  }
  const shown = await stomp('locks', '--database', server.database);
  expect(shown.code).toBe(0);
  expect(shown.out).toMatch(new RegExp(`^code:/a +ann +ann +${leases[0]?.fencing_token} `, 'm'));
  expect(await server.metric('stomp_locks_held{backend="sqlite"}')).toBe(1);
  await Promise.all([http.close(), stdio.close()]);
  const { code, err } = await server.stop('SIGTERM');
  expect([code, err.includes('"level":50')]).toEqual([0, false]);
});

it('keeps a lease over a restart of the server, for its holder to renew and give back', async () => {
  const first = await serve();
  const { leases } = await acquire(first, { keys: ['k'], ttl_ms: 600_000 });
  await first.stop('SIGKILL');
  const second = await serve({ database: first.database });
  const busy = await second.post('/v1/locks', { keys: ['k'] }, { 'x-agent-id': 'bob' });
  expect([busy.status, busy.headers.get('retry-after')]).toEqual([409, '1']);
  const asAnn = { 'x-agent-id': 'ann' };
  expect((await second.post('/v1/locks/renew', { leases }, asAnn)).status).toBe(200);
  expect((await second.post('/v1/locks/release', { leases }, asAnn)).status).toBe(200);
  expect((await second.post('/v1/locks', { keys: ['k'] }, { 'x-agent-id': 'bob' })).status).toBe(201);
});
