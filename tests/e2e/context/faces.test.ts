/** One context through every face: MCP over two transports, HTTP, and the command line in processes of its own. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { afterEach, expect, it } from 'vitest';
import { main, type ServerProcess, serve, stomp, temporaryFolder } from '../server-process.js';

type Body = Record<string, unknown> & { error?: Record<string, unknown> };

const clients: Client[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) await client.close();
});

interface Place {
  readonly root: string;
  readonly database: string;
}

async function connect(transport: Parameters<Client['connect']>[0]) {
  const client = new Client({ name: 'Test', version: '1' });
  clients.push(client);
  await client.connect(transport);
  const call = async (name: string, args: Record<string, unknown> = {}): Promise<Body> =>
    (await client.callTool({ name, arguments: args })).structuredContent as Body;
  return { client, call };
}

const overStdio = ({ root, database }: Place) =>
  connect(
    new StdioClientTransport({
      command: process.execPath,
      args: [main, 'mcp', '--database', database, '--roots', root],
      cwd: temporaryFolder(),
      stderr: 'ignore',
    }),
  );
const overHttp = (server: ServerProcess) =>
  connect(
    new StreamableHTTPClientTransport(new URL(`${server.url}/mcp`)) as Parameters<Client['connect']>[0],
  );

async function typed({ root, database }: Place, ...words: string[]): Promise<Body> {
  const args = ['context', ...words, '--database', database, '--roots', root, '--json'];
  const { code, out, err } = await stomp(...args);
  expect([code, err]).toEqual([0, '']);
  return JSON.parse(out) as Body;
}

async function start(): Promise<Place & { server: ServerProcess }> {
  const root = temporaryFolder();
  const server = await serve({ args: ['--roots', root] });
  return { root, database: server.database, server };
}

const put = (server: ServerProcess, version: string, project: string, session: string) =>
  fetch(`${server.url}/v1/agents/ann/project`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json', 'if-match': version, 'x-session-id': session },
    body: JSON.stringify({ project }),
  });

it('tells whoever was too slow what is current, by whichever face, and takes the second attempt', async () => {
  const place = await start();
  const { server, root } = place;
  const [http, stdio] = [await overHttp(server), await overStdio(place)];
  for (const { client } of [http, stdio]) {
    expect((await client.listTools()).tools.map(({ name }) => name)).toContain('set_project');
    expect(client.getInstructions()).toContain('append_entry');
  }
  await typed(place, 'project', 'create', 'one');
  await typed(place, 'project', 'create', 'two');

  const { session_id: session } = await http.call('session_start', { agent_id: 'ann' });
  const first = await http.call('set_project', { name: 'one', agent_id: 'ann', expected_version: 0 });
  expect(first).toMatchObject({ project: 'one', version: 1, session_id: session });
  const mine = { agent_id: 'ann', session_id: session };
  const stale = { name: 'two', ...mine, expected_version: 0 };
  const { error } = await stdio.call('set_project', stale);
  expect(error).toMatchObject({
    code: 'VERSION_CONFLICT',
    expected: 0,
    actual: 1,
    current_project: 'one',
    updated_by: 'ann',
    session_id: session,
    updated_at: expect.any(Number),
  });
  const again = { ...stale, expected_version: error?.['actual'] };
  expect(await stdio.call('set_project', again)).toMatchObject({ project: 'two', version: 2 });

  const lost = await put(server, '"1"', 'one', String(session));
  expect([lost.status, lost.headers.get('etag')]).toEqual([409, '"2"']);
  const won = await put(server, lost.headers.get('etag') ?? '', 'one', String(session));
  expect([won.status, won.headers.get('etag')]).toEqual([200, '"3"']);
  expect(await typed(place, 'project', 'current', '--agent', 'ann')).toMatchObject({
    project: 'one',
    version: 3,
    details: { root },
  });
  expect((await typed(place, 'events', '--type', 'conflict_detected'))['events']).toHaveLength(2);
});

it('keeps what is written by every face in one log, once and in order', async () => {
  const place = await start();
  const { server, root } = place;
  const [http, stdio] = [await overHttp(server), await overStdio(place)];
  const message = 'a|b; c\nexample ü';
  await stdio.call('set_project', { name: 'one', root });
  await stdio.call('append_entry', { message, id: 'x', meta: { 'k=': ';' } });
  const again = await http.call('append_entry', { message, id: 'x', meta: { 'k=': ';' } });
  expect(again['duplicates']).toEqual(['x']);
  await server.post('/v1/projects/one/entries', { items: ['second', 'third'], status: 'warn' });
  await typed(place, 'append', 'fourth', '--agent', 'bob', '--project', 'one', '--status', 'plan');
  const recent = (await http.call('read_recent'))['entries'] as Body[];
  expect(recent.map((entry) => entry['message'])).toEqual(['fourth', 'third', 'second', message]);
  expect(await stdio.call('query_entries', { status: ['warn'], page_size: 1 })).toMatchObject({
    total: 2,
    entries: [{ message: 'third' }],
  });
  expect(await typed(place, 'query', 'EXAMPLE', '--project', 'one')).toMatchObject({
    entries: [{ message }],
  });
  const found = await fetch(`${server.url}/v1/projects/one/entries?agents=bob`);
  expect(await found.json()).toMatchObject({ total: 1, entries: [{ message: 'fourth', status: 'plan' }] });
  expect(await typed(place, 'audit')).toMatchObject({ ok: true, reports: [{ lines: 4 }] });
  expect(await typed(place, 'verify')).toMatchObject({ ok: true });
  const state = JSON.parse(readFileSync(join(root, '.stomp/state.json'), 'utf8')) as Body;
  expect(JSON.stringify(state)).toContain('"Scribe"');
});

it('keeps sessions over a restart of the server', async () => {
  const { server, root, database } = await start();
  const { session_id: id } = (await (await server.post('/v1/agents/ann/sessions', {})).json()) as Body;
  await server.stop('SIGKILL');
  const second = await serve({ database, args: ['--roots', root] });
  const renewed = await second.post(`/v1/agents/ann/sessions/${String(id)}/heartbeat`, {});
  expect(await renewed.json()).toMatchObject({ session_id: id, status: 'active' });
  expect(await second.metric('stomp_context_sessions_active')).toBe(1);
  const { code, err } = await second.stop('SIGTERM');
  expect([code, err.includes('"level":50')]).toEqual([0, false]);
});
