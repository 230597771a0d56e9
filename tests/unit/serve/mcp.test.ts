/** MCP over Streamable HTTP, with the client of the SDK. */
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import type { CallToolResult } from '@modelcontextprotocol/sdk/types.js';
import { afterEach, describe, expect, it } from 'vitest';
import { type OpenGuard, openGuard } from '../guard/open-guard.js';
import { type Running, start as startServer, until } from './harness.js';

const clients: Client[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) await client.close();
});

async function start(): Promise<Running & { guard: OpenGuard }> {
  const guard = await openGuard();
  return { ...(await startServer({ guard })), guard };
}

async function connect(url: string, headers: Record<string, string> = {}, name = 'Some Client') {
  const client = new Client({ name, version: '1' });
  const transport = new StreamableHTTPClientTransport(new URL(`${url}/mcp`), { requestInit: { headers } });
  clients.push(client);
  await client.connect(transport as Parameters<Client['connect']>[0]);
  const call = async (name: string, args: Record<string, unknown> = {}, meta?: Record<string, unknown>) =>
    (await client.callTool({ name, arguments: args, ...(meta ? { _meta: meta } : {}) })) as CallToolResult;
  return { client, transport, call };
}

const initialize = {
  jsonrpc: '2.0',
  id: 1,
  method: 'initialize',
  params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'x', version: '1' } },
};
const accept = { accept: 'application/json, text/event-stream' };

describe('MCP over HTTP', () => {
  it('offers the tools to the client of the SDK', async () => {
    const { url, guard } = await start();
    const { client, call } = await connect(url);
    expect((await client.listTools()).tools.map(({ name }) => name)).toEqual(
      guard.tools.list.map(({ name }) => name),
    );
    expect(client.getInstructions()).toContain(guard.root);
    expect((await call('fs_write', { path: 'a', content: 'x' })).structuredContent).toMatchObject({
      bytes: 1,
    });
    const read = await call('fs_read', { path: 'a' });
    expect(read.structuredContent).toMatchObject({ content: 'x' });
    const denied = await call('fs_read', { path: '/etc/passwd' });
    expect(denied).toMatchObject({ isError: true, structuredContent: { error: { code: 'PATH_DENIED' } } });
    await expect(call('nope')).rejects.toThrow(/no tool/);
  });

  it('knows each request by _meta, then by headers, then by its session', async () => {
    const { url } = await start();
    const named = await connect(url, { 'x-agent-id': 'ann', 'x-session-id': 'ann-1' });
    const body = async (result: Promise<CallToolResult>) => (await result).structuredContent;
    expect(await body(named.call('lock_acquire', { keys: ['a'] }))).toMatchObject({
      agent_id: 'ann',
      session_id: 'ann-1',
    });
    expect(await body(named.call('lock_acquire', { keys: ['b'] }, { agent_id: 'bob' }))).toMatchObject({
      agent_id: 'bob',
      session_id: 'ann-1',
    });
    const unnamed = await connect(url);
    const session = unnamed.transport.sessionId;
    expect(await body(unnamed.call('lock_acquire', { keys: ['c'] }))).toMatchObject({
      agent_id: `some-client-${session}`,
      session_id: session,
    });
  });

  it('keeps two clients apart that say nothing about themselves', async () => {
    const { url } = await start();
    const [one, two] = [await connect(url), await connect(url)];
    await one.call('lock_acquire', { keys: ['k'] });
    expect((await two.call('lock_acquire', { keys: ['k'], max_wait_ms: 0 })).isError).toBe(true);
  });

  it('takes a cancelled call out of the queue', async () => {
    const { url, guard } = await start();
    const [one, two] = [await connect(url), await connect(url)];
    await one.call('lock_acquire', { keys: ['k'] });
    const abort = new AbortController();
    const args = { keys: ['k'], max_wait_ms: 60_000 };
    const waiting = two.client.callTool({ name: 'lock_acquire', arguments: args }, undefined, {
      signal: abort.signal,
    });
    const outcome = waiting.catch(() => 'cancelled');
    await until(async () => (await guard.maasl.locks.waiting()).length === 1, 'it waits');
    abort.abort();
    expect(await outcome).toBe('cancelled');
    await until(async () => (await guard.maasl.locks.waiting()).length === 0, 'it has left the queue');
    expect((await two.call('locks')).structuredContent).toMatchObject({ waiting: [] });
  });

  it('takes calls out of the queue when their client goes', async () => {
    const { url, guard } = await start();
    const [one, two] = [await connect(url), await connect(url)];
    await one.call('lock_acquire', { keys: ['k'] });
    const waiting = two.call('lock_acquire', { keys: ['k'], max_wait_ms: 60_000 }).catch(() => 'gone');
    await until(async () => (await guard.maasl.locks.waiting()).length === 1, 'it waits');
    await two.client.close();
    expect(await waiting).toBe('gone');
    await until(async () => (await guard.maasl.locks.waiting()).length === 0, 'it has left the queue');
  });

  it('gives leases back when a client says goodbye, and keeps those of one that merely goes', async () => {
    const { url, guard } = await start();
    const [one, two] = [await connect(url), await connect(url)];
    await one.call('lock_acquire', { keys: ['one'] });
    await two.call('lock_acquire', { keys: ['two'] });
    await one.transport.terminateSession();
    await two.client.close();
    expect((await guard.maasl.locks.snapshot()).map(({ resource_key }) => resource_key)).toEqual(['two']);
    await expect(one.call('locks')).rejects.toThrow();
  });

  it('refuses what is no session, no JSON and no page of this machine', async () => {
    const { url, post, get } = await start();
    const list = { jsonrpc: '2.0', id: 1, method: 'tools/list' };
    const unknown = await post('/mcp', list, { ...accept, 'mcp-session-id': 'nope' });
    expect(unknown.status).toBe(404);
    expect(await unknown.json()).toMatchObject({ jsonrpc: '2.0', error: { code: -32001 } });
    expect((await post('/mcp', list, accept)).status).toBe(400);
    expect((await get('/mcp', { accept: 'text/event-stream' })).status).toBe(400);
    const broken = await post('/mcp', '{"jsonrpc":', accept);
    expect(broken.status).toBe(400);
    expect(await broken.json()).toMatchObject({ jsonrpc: '2.0', id: null, error: { code: -32700 } });
    const text = await post('/mcp', 'x', { ...accept, 'content-type': 'text/plain' });
    expect(text.status).toBe(415);
    expect(await text.json()).toMatchObject({
      jsonrpc: '2.0',
      error: { data: { code: 'UNSUPPORTED_MEDIA_TYPE' } },
    });
    const page = await post('/mcp', initialize, { ...accept, origin: 'https://elsewhere.example' });
    expect(page.status).toBe(403);
    const put = await fetch(`${url}/mcp`, { method: 'PUT' });
    expect(put.status).toBe(405);
    const large = await post('/mcp', { ...list, params: { x: 'x'.repeat(21 << 20) } }, accept);
    expect(large.status).toBe(413);
    const { call } = await connect(url);
    expect((await call('locks')).isError).toBeUndefined();
  });

  it('does not keep what is refused as the beginning of a session', async () => {
    const { url, post } = await start();
    const refused = await post('/mcp', initialize, { accept: 'application/json' });
    expect(refused.status).toBe(406);
    const { call } = await connect(url);
    expect((await call('locks')).isError).toBeUndefined();
  });

  it('ends open streams when it closes, and begins no session from then on', async () => {
    const { server, post, get, guard } = await start();
    await guard.maasl.locks.acquire('k', { agentId: 'ann', sessionId: 'ann' });
    const session = (await post('/mcp', initialize, accept)).headers.get('mcp-session-id') ?? '';
    const stream = await get('/mcp', { accept: 'text/event-stream', 'mcp-session-id': session });
    expect(stream.status).toBe(200);
    const args = { keys: ['k'], max_wait_ms: 60_000 };
    const waiting = post('/v1/locks', args, { 'x-agent-id': 'bob' });
    await until(async () => (await guard.maasl.locks.waiting()).length === 1, 'a request keeps it open');
    const closed = server.close();
    const refused = await post('/mcp', initialize, accept);
    expect(refused.status).toBe(503);
    expect(await refused.json()).toMatchObject({ error: { data: { code: 'SHUTTING_DOWN' } } });
    await Promise.all([closed, server.close()]);
    expect((await waiting).status).toBe(503);
    expect(await stream.text()).toBe(''); // it would fail if the connection had been cut
  });
});
