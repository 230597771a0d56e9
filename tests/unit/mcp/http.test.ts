/** Sessions of MCP over HTTP, in a server of one's own. */
import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { afterEach, describe, expect, it } from 'vitest';
import { McpHttp, type McpHttpOptions } from '../../../ts/mcp/index.js';
import { openGuard } from '../guard/open-guard.js';

const running: { server: Server; mcp: McpHttp }[] = [];
afterEach(async () => {
  for (const { server, mcp } of running.splice(0)) {
    await mcp.close();
    server.closeAllConnections();
    server.close();
  }
});

/**
 * @param before what the server does before it hands a request over
 * @param signal what it hands over with each
 */
async function start(
  options: Omit<McpHttpOptions, 'tools'> = {},
  before: (response: ServerResponse) => unknown = () => undefined,
  signal?: AbortSignal,
) {
  const guard = await openGuard();
  const mcp = new McpHttp({ tools: guard.tools, ...options });
  const server = createServer(async (request, response) => {
    const body = request.method === 'POST' ? await json(request) : undefined;
    await before(response);
    await mcp.handle(request, response, body, signal);
  });
  running.push({ server, mcp });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const send = (message: object, headers: Record<string, string> = {}, signal?: AbortSignal) =>
    fetch(url, {
      method: 'POST',
      ...(signal ? { signal } : {}),
      headers: {
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        ...headers,
      },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, ...message }),
    });
  const open = async () => {
    const clientInfo = { name: 'x', version: '1' };
    const params = { protocolVersion: '2025-06-18', capabilities: {}, clientInfo };
    const response = await send({ method: 'initialize', params });
    await response.text();
    return { status: response.status, id: response.headers.get('mcp-session-id') ?? '' };
  };
  const ping = async (id: string) => (await send({ method: 'ping' }, { 'mcp-session-id': id })).status;
  const listen = (id: string) =>
    fetch(url, { headers: { accept: 'text/event-stream', 'mcp-session-id': id } });
  return { guard, mcp, send, open, ping, listen };
}

async function until(check: () => boolean): Promise<void> {
  for (let i = 0; i < 1000 && !check(); i++) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(check()).toBe(true);
}

describe('sessions', () => {
  it('are forgotten when they are idle for long, but not while they listen; their leases stay', async () => {
    const { guard, mcp, open, send, ping, listen } = await start({ sessionTimeoutMs: 500 });
    const [idle, listening] = [await open(), await open()];
    const acquire = { name: 'lock_acquire', arguments: { keys: ['k'] } };
    await (await send({ method: 'tools/call', params: acquire }, { 'mcp-session-id': idle.id })).text();
    const stream = await listen(listening.id);
    await until(() => mcp.sessions === 1);
    expect(await ping(idle.id)).toBe(404);
    expect(await ping(listening.id)).toBe(200);
    expect(await guard.maasl.locks.snapshot()).toMatchObject([{ resource_key: 'k' }]);
    await stream.body?.cancel();
    await until(() => mcp.sessions === 0);
  });

  it('make room for new ones, whoever was idle longest first', async () => {
    const { mcp, open, ping } = await start({ maxSessions: 2 });
    const [first, second] = [await open(), await open()];
    expect(await ping(first.id)).toBe(200);
    const third = await open();
    expect(mcp.sessions).toBe(2);
    expect(await ping(second.id)).toBe(404);
    expect([await ping(first.id), await ping(third.id)]).toEqual([200, 200]);
  });

  it('are refused while all are at work', async () => {
    const { open, listen } = await start({ maxSessions: 1 });
    const { id } = await open();
    const stream = await listen(id);
    expect((await open()).status).toBe(503);
    await stream.body?.cancel();
  });

  it('are not begun by what is refused, nor after the end', async () => {
    const { mcp, send, open } = await start();
    const params = {
      protocolVersion: '2025-06-18',
      capabilities: {},
      clientInfo: { name: 'x', version: '1' },
    };
    const refused = await send({ method: 'initialize', params }, { accept: 'application/json' });
    expect(refused.status).toBe(406);
    await until(() => mcp.sessions === 0);
    await mcp.close();
    expect((await open()).status).toBe(503);
  });

  it('end the response of a call that was cancelled, without an answer', async () => {
    const { guard, open, send } = await start();
    const { id } = await open();
    await guard.maasl.locks.acquire('k', { agentId: 'other', sessionId: 'other' });
    const session = { 'mcp-session-id': id };
    const params = { name: 'lock_acquire', arguments: { keys: ['k'], max_wait_ms: 60_000 } };
    const response = await send({ id: 7, method: 'tools/call', params }, session);
    await expect.poll(() => guard.maasl.locks.waiting()).toHaveLength(1);
    const cancelled = { id: undefined, method: 'notifications/cancelled', params: { requestId: 7 } };
    expect((await send(cancelled, session)).status).toBe(202);
    expect(await response.text()).not.toContain('"id":7');
    expect(await guard.maasl.locks.waiting()).toEqual([]);
  });

  it('wait for no lock any more when the client or the server gives up', async () => {
    const giveUp = new AbortController();
    const { guard, open, send } = await start({}, () => undefined, giveUp.signal);
    const session = { 'mcp-session-id': (await open()).id };
    await guard.maasl.locks.acquire('k', { agentId: 'other', sessionId: 'other' });
    const params = { name: 'lock_acquire', arguments: { keys: ['k'], max_wait_ms: 60_000 } };
    const waiters = async (count: number) =>
      expect.poll(() => guard.maasl.locks.waiting()).toHaveLength(count);
    const leaving = new AbortController();
    await send({ id: 2, method: 'tools/call', params }, session, leaving.signal);
    const told = await send({ id: 3, method: 'tools/call', params }, session);
    await waiters(2);
    leaving.abort();
    await waiters(1);
    giveUp.abort();
    expect(await told.text()).toContain('CANCELLED');
    await waiters(0);
  });

  it('are not begun for, nor kept by, a client that has gone before', async () => {
    let gone = true;
    const { mcp, open, listen } = await start({ maxSessions: 1 }, async (response) => {
      if (!gone) return;
      response.destroy();
      if (!response.closed) await once(response, 'close');
    });
    await expect(open()).rejects.toThrow();
    expect(mcp.sessions).toBe(0);
    gone = false;
    const { id } = await open();
    gone = true;
    await expect(listen(id)).rejects.toThrow();
    gone = false;
    expect((await open()).status).toBe(200);
  });

  it('have limits that make sense', async () => {
    const { tools } = await openGuard();
    expect(() => new McpHttp({ tools, maxSessions: 0 })).toThrow(/maxSessions/);
    expect(() => new McpHttp({ tools, sessionTimeoutMs: -1 })).toThrow(/sessionTimeoutMs/);
    expect(() => new McpHttp({ tools, timeout: 1 } as never)).toThrow(/timeout/);
  });
});
