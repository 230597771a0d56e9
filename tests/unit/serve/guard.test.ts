/** The guard's tools over HTTP. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type OpenGuard, openGuard } from '../guard/open-guard.js';
import { type Running, start as startServer, until } from './harness.js';

interface Setup extends Running {
  readonly guard: OpenGuard;
  as(agent: string): (path: string, body: unknown) => Promise<Response>;
}

async function start(): Promise<Setup> {
  const guard = await openGuard();
  const running = await startServer({ guard });
  const as = (agent: string) => (path: string, body: unknown) =>
    running.post(path, body, { 'x-agent-id': agent, 'x-session-id': `${agent}-1` });
  return { ...running, guard, as };
}

type Body = Record<string, unknown> & { error: Record<string, unknown> };
const json = async (response: Response) => (await response.json()) as Body;

describe('locks over HTTP', () => {
  it('are taken, shown, renewed and given back', async () => {
    const { as, get } = await start();
    const taken = await as('ann')('/v1/locks', { keys: ['code:/a'], ttl_ms: 5000 });
    expect(taken.status).toBe(201);
    expect(taken.headers.get('x-agent-id')).toBe('ann');
    const { leases, ...rest } = await json(taken);
    expect(rest).toMatchObject({ agent_id: 'ann', session_id: 'ann-1', ttl_ms: 5000 });
    const [lease] = leases as [{ resource_key: string; fencing_token: string }];
    const shown = await json(await get('/v1/locks'));
    expect(shown).toMatchObject({ locks: [{ ...lease, holder_agent_id: 'ann', waiters: 0 }], waiting: [] });
    expect((await as('ann')('/v1/locks/renew', { ...lease, ttl_ms: 60_000 })).status).toBe(200);
    const released = await as('ann')('/v1/locks/release', lease);
    expect(released.status).toBe(200);
    expect(await json(released)).toEqual({ released: ['code:/a'] });
    const late = await as('ann')('/v1/locks/renew', lease);
    expect(late.status).toBe(410);
    expect((await json(late)).error).toMatchObject({ code: 'LEASE_LOST', resource_keys: ['code:/a'] });
  });

  it('that are busy are answered with 409, Retry-After and who holds them', async () => {
    const { as } = await start();
    await as('ann')('/v1/locks', { keys: ['code:/a'] });
    const busy = await as('bob')('/v1/locks', { keys: ['code:/a'] });
    expect(busy.status).toBe(409);
    expect(busy.headers.get('retry-after')).toBe('1');
    expect(await json(busy)).toEqual({
      error: {
        code: 'RESOURCE_BUSY',
        message: expect.stringContaining('ann'),
        type: 'invalid_request_error',
        param: null,
        resource_key: 'code:/a',
        holder_agent_id: 'ann',
        holder_session_id: 'ann-1',
        wait_ms: expect.any(Number),
        max_wait_ms: 0,
      },
    });
  });

  it('are waited for no longer when the client goes', async () => {
    const { as, url, guard } = await start();
    await as('ann')('/v1/locks', { keys: ['k'] });
    const abort = new AbortController();
    const waiting = fetch(`${url}/v1/locks`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-agent-id': 'bob' },
      body: JSON.stringify({ keys: ['k'], max_wait_ms: 60_000 }),
      signal: abort.signal,
    });
    await until(async () => (await guard.maasl.locks.waiting()).length === 1, 'bob waits');
    abort.abort();
    await expect(waiting).rejects.toThrow();
    await until(async () => (await guard.maasl.locks.waiting()).length === 0, 'bob has left the queue');
  });

  it('are refused to those who wait when the server closes, and live on', async () => {
    const { as, server, guard } = await start();
    await as('ann')('/v1/locks', { keys: ['k'] });
    const waiting = as('bob')('/v1/locks', { keys: ['k'], max_wait_ms: 60_000 });
    await until(async () => (await guard.maasl.locks.waiting()).length === 1, 'bob waits');
    const closing = server.close();
    const refused = await as('cid')('/v1/locks', { keys: ['other'] });
    expect(refused.status).toBe(503);
    expect(refused.headers.get('retry-after')).toBe('2');
    await Promise.all([closing, server.close()]);
    const answer = await waiting;
    expect(answer.status).toBe(503);
    expect((await json(answer)).error).toMatchObject({ code: 'SHUTTING_DOWN' });
    expect(await guard.maasl.locks.snapshot()).toMatchObject([{ resource_key: 'k' }]);
  });

  it('do not wait for the model', async () => {
    const guard = await openGuard();
    const { post, get } = await startServer({ guard }, undefined, new Promise(() => undefined));
    expect((await post('/v1/locks', { keys: ['k'] }, { 'x-session-id': 's' })).status).toBe(201);
    expect((await get('/v1/models')).status).toBe(503);
  });
});

describe('whoever acts over HTTP', () => {
  it('says who it is, in one header at least', async () => {
    const { post } = await start();
    const nobody = await post('/v1/locks', { keys: ['k'] });
    expect(nobody.status).toBe(400);
    expect((await json(nobody)).error).toMatchObject({
      code: 'INVALID_REQUEST',
      param: 'X-Agent-ID',
      message: expect.stringMatching(/X-Agent-ID.*X-Session-ID/),
    });
    const session = await json(await post('/v1/locks', { keys: ['a'] }, { 'x-session-id': 's' }));
    expect(session).toMatchObject({ agent_id: 's', session_id: 's' });
    const agent = await json(await post('/v1/locks', { keys: ['b'] }, { 'x-agent-id': 'ann' }));
    expect(agent).toMatchObject({ agent_id: 'ann', session_id: 'ann' });
    const bad = await post('/v1/locks', { keys: ['c'] }, { 'x-agent-id': 'a b' });
    expect((await json(bad)).error).toMatchObject({ code: 'INVALID_REQUEST', param: 'X-Agent-ID' });
    expect((await post('/v1/tools/fs_read', { path: 'a' })).status).toBe(400);
    expect((await post('/v1/tools/locks', {})).status).toBe(200);
  });
});

describe('tools over HTTP', () => {
  it('are listed, and called by their names', async () => {
    const { as, get, guard } = await start();
    const { data } = (await json(await get('/v1/tools'))) as unknown as { data: { name: string }[] };
    expect(data.map(({ name }) => name)).toEqual(guard.tools.list.map(({ name }) => name));
    expect(data[3]).toMatchObject({
      name: 'lock_acquire',
      read_only: false,
      input_schema: { type: 'object' },
    });
    const written = await as('ann')('/v1/tools/fs_write', { path: 'a', content: 'x' });
    expect(written.status).toBe(200);
    expect(await json(written)).toMatchObject({ bytes: 1, path: join(guard.root, 'a') });
    const stale = { path: 'a', content: 'y', expectedSha256: '0'.repeat(64) };
    const refused = await as('bob')('/v1/tools/fs_write', stale);
    expect(refused.status).toBe(409);
    expect((await json(refused)).error).toMatchObject({
      code: 'STALE_VERSION',
      file: join(guard.root, 'a'),
      expected_version: '0'.repeat(64),
    });
    expect(readFileSync(join(guard.root, 'a'), 'utf8')).toBe('x');
  });

  it('answer with the status of the error', async () => {
    const { as, get } = await start();
    const post = as('ann');
    const cases: [path: string, body: unknown, status: number, code: string, param: string | null][] = [
      ['/v1/tools/fs_raed', {}, 404, 'NOT_FOUND', 'name'],
      ['/v1/tools/fs_read', { path: 'none' }, 404, 'NOT_FOUND', null],
      ['/v1/tools/fs_read', { path: '/etc/passwd' }, 403, 'PATH_DENIED', null],
      ['/v1/tools/fs_read', { pth: 'a' }, 400, 'INVALID_REQUEST', 'pth'],
      ['/v1/tools/fs_read', 'no json', 400, 'INVALID_REQUEST', 'body'],
      ['/v1/tools/fs_read', [], 400, 'INVALID_REQUEST', 'arguments'],
      ['/v1/tools/fs_read', undefined, 400, 'INVALID_REQUEST', 'path'],
      [
        '/v1/locks',
        { resources: [{ resource_class: 'X', identifier: 'a' }] },
        400,
        'UNKNOWN_RESOURCE_CLASS',
        null,
      ],
      ['/v1/locks/release', { resource_key: 'k', fencing_token: '7' }, 410, 'LEASE_LOST', null],
    ];
    for (const [path, body, status, code, param] of cases) {
      const response = await post(path, body);
      expect([path, response.status]).toEqual([path, status]);
      expect((await json(response)).error).toMatchObject({ code, param, message: expect.any(String) });
    }
    const wrong = await get('/v1/locks/renew');
    expect(wrong.status).toBe(405);
    expect((await json(wrong)).error).toMatchObject({
      code: 'METHOD_NOT_ALLOWED',
      param: 'method',
      allowed: 'POST',
    });
  });

  it('take the largest file there may be, and no larger body', async () => {
    const guard = await openGuard({ maxFileBytes: 6 << 20 });
    const { post } = await startServer({ guard });
    const write = (bytes: number) =>
      post('/v1/tools/fs_write', { path: 'a', content: '\n'.repeat(bytes) }, { 'x-agent-id': 'ann' });
    expect((await write(6 << 20)).status).toBe(200);
    const tooLong = await write((6 << 20) + 1);
    expect(tooLong.status).toBe(413);
    expect((await json(tooLong)).error).toMatchObject({ code: 'PAYLOAD_TOO_LARGE', max_bytes: 6 << 20 });
    const tooLarge = await write(13 << 20);
    expect(tooLarge.status).toBe(413);
    expect((await json(tooLarge)).error).toMatchObject({ code: 'PAYLOAD_TOO_LARGE' });
  });

  it('keep unforeseen failures to themselves', async () => {
    const guard = await openGuard();
    const docgen = { status: () => Promise.reject(new Error('secret')) };
    const { get, log } = await startServer({ guard: { ...guard, docgen } });
    const response = await get('/v1/docgen/status');
    expect(response.status).toBe(500);
    const { error } = await json(response);
    expect(error).toMatchObject({ code: 'INTERNAL_ERROR', type: 'server_error' });
    expect(JSON.stringify(error)).not.toContain('secret');
    const lines = log.filter((entry) => entry['correlation_id'] === error['correlation_id']);
    const where = expect.stringContaining('guard.test.ts');
    expect(lines).toMatchObject([
      { level: 50, tool: 'docgen_status', err: { type: 'Error', stack: where } },
      { level: 20, detail: 'Error: secret' },
    ]);
    expect(JSON.stringify(lines[0])).not.toContain('secret');
  });
});

describe('figures of the guard', () => {
  it('are told as JSON', async () => {
    const { as, get } = await start();
    await as('ann')('/v1/locks', { keys: ['k'] });
    expect(await json(await get('/v1/stomp/stats'))).toMatchObject({ held: 1, events: { lock_acquired: 1 } });
    expect(await json(await get('/v1/docgen/status'))).toEqual({ operations: [] });
  });

  it('are told to Prometheus', async () => {
    const { as, get, guard, log } = await start();
    const metric = async (name: string) =>
      (await (await get('/metrics')).text()).split('\n').find((line) => line.startsWith(`${name} `));
    await as('ann')('/v1/locks', { keys: ['k', 'l'] });
    expect(await metric('stomp_locks_held{backend="sqlite"}')).toMatch(/ 2$/);
    expect(await metric('stomp_lock_waiters{backend="sqlite"}')).toMatch(/ 0$/);
    expect(await metric('stomp_guard_events_total{event="lock_acquired"}')).toMatch(/ 2$/);
    expect(await metric('stomp_guard_events_total{event="lock_acquired"}')).toMatch(/ 2$/);
    await as('bob')('/v1/locks', { keys: ['k'] });
    expect(await metric('stomp_guard_events_total{event="lock_timeout"}')).toMatch(/ 1$/);
    await guard.maasl.close();
    expect(await metric('stomp_locks_held{backend="sqlite"}')).toBeUndefined();
    expect(log.some(({ msg }) => msg === 'the locks could not be counted')).toBe(true);
  });

  it('are not there without a guard, nor are its routes', async () => {
    const { get, post } = await startServer();
    for (const path of ['/v1/locks', '/v1/tools', '/v1/stomp/stats', '/mcp']) {
      expect((await get(path)).status).toBe(404);
    }
    expect((await post('/v1/locks', {})).status).toBe(404);
    expect(await (await get('/metrics')).text()).not.toContain('stomp_locks_held');
  });
});
