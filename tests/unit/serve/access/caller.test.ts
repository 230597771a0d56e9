import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { requireRole } from '../../../../ts/serve/access/caller.js';
import { KeyRing } from '../../../../ts/serve/access/keys.js';
import { createServer } from '../../../../ts/serve/server.js';
import { openGuard } from '../../guard/open-guard.js';
import { FakeEngine } from '../fake-engine.js';
import { errorOf, hello, start } from '../harness.js';

const user = 'the-key-of-a-user-1234';
const admin = 'the-key-of-an-admin-12';
const approver = 'the-key-of-an-approver';
const keys = (): KeyRing =>
  new KeyRing([
    { role: 'user', key: user, name: 'ann' },
    { role: 'admin', key: admin },
    { role: 'approver', key: approver },
  ]);
const bearer = (key: string) => ({ authorization: `Bearer ${key}` });

describe('with keys', () => {
  it.each([
    ['as a bearer', bearer(user)],
    ['as a bearer in small letters', { authorization: `bearer  ${user} ` }],
    ['as x-api-key', { 'x-api-key': user }],
    ['twice', { ...bearer(user), 'x-api-key': user }],
    ['beside one of somebody else', { ...bearer('sk-of-somebody-else'), 'x-api-key': user }],
  ])('a key opens the server: %s', async (_, headers) => {
    const { post, get } = await start({ keys: keys() });
    expect((await post('/v1/chat/completions', { messages: hello }, headers)).status).toBe(200);
    expect((await get('/metrics', headers)).status).toBe(200);
  });

  it.each([
    ['none', {}, 'Bearer realm="stomp-serve"'],
    ['an empty one', { 'x-api-key': '' }, 'Bearer realm="stomp-serve", error="invalid_token"'],
    ['a wrong one', bearer(`${user}x`), 'Bearer realm="stomp-serve", error="invalid_token"'],
    ['one of another scheme', { authorization: `Basic ${user}` }, 'Bearer realm="stomp-serve"'],
    ['a bare one', { authorization: user }, 'Bearer realm="stomp-serve"'],
  ])('%s is refused with 401 and a challenge', async (_, headers, challenge) => {
    const { post, get, engine, log } = await start({ keys: keys() });
    for (const response of [
      await post('/v1/chat/completions', { messages: hello }, headers),
      await post('/v1/agents/a/generate', { message: 'Hi' }, headers),
      await get('/v1/agents', headers),
      await get('/v1/models', headers),
      await get('/metrics', headers),
      await get('/nowhere', headers),
      await get('/v1/chat/completions', headers),
    ]) {
      expect(response.status).toBe(401);
      expect(response.headers.get('www-authenticate')).toBe(challenge);
      expect(response.headers.get('x-request-id')).toMatch(/^req_/);
      expect(await errorOf(response)).toMatchObject({ code: 'UNAUTHORIZED', type: 'authentication_error' });
    }
    expect(engine.calls).toEqual([]);
    expect(JSON.stringify(log)).not.toContain(user);
  });

  it('a body is not waited for when the key is wrong', async () => {
    const { port } = await start({ keys: keys() });
    const socket = connect(port, '127.0.0.1');
    socket.write(
      'POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n' +
        'Content-Length: 1000000\r\n\r\n{',
    );
    const [answer] = (await once(socket, 'data')) as [Buffer];
    socket.destroy();
    expect(answer.toString()).toMatch(/^HTTP\/1.1 401 /);
  });

  it('health needs none', async () => {
    const { get } = await start({ keys: keys() });
    for (const path of ['/health/live', '/health/ready', '/health/startup']) {
      expect((await get(path)).status).toBe(200);
      expect((await get(path, bearer('a-wrong-key-that-is-long'))).status).toBe(200);
    }
  });

  it('the log names the key and never shows it', async () => {
    const { post, log } = await start({ keys: keys() });
    await post('/v1/chat/completions', { messages: hello }, bearer(user));
    const text = JSON.stringify(log);
    expect(text).toContain('"key":"ann"');
    expect(text).not.toContain(user);
  });

  it('tools, locks and MCP need one', async () => {
    const { get, post } = await start({ keys: keys(), guard: await openGuard() });
    const asked = async (headers: Record<string, string>) => [
      (await get('/v1/locks', headers)).status,
      (await get('/v1/tools', headers)).status,
      (await post('/v1/tools/locks', {}, headers)).status,
      (await post('/mcp', {}, headers)).status,
    ];
    expect(await asked({})).toEqual([401, 401, 401, 401]);
    expect(await asked(bearer(user))).toEqual([200, 200, 200, 400]);
  });
});

describe('roles', () => {
  async function withRoutes() {
    const server = createServer(new FakeEngine(), { model: 'tiny', keys: keys() });
    server.app.get('/v1/admin/thing', async () => ({ done: true }));
    server.app.get('/v1/gates', async (request) => {
      requireRole(request, 'approver');
      return { role: request.caller.role };
    });
    server.app.get('/open', { config: { role: 'anyone' } }, async (request) => ({
      role: request.caller.role,
    }));
    const { url } = await server.listen({ port: 0 });
    return {
      server,
      ask: (path: string, key?: string) => fetch(url + path, key ? { headers: bearer(key) } : {}),
    };
  }

  it('are held apart: admin is for admins, approving for approvers, the rest for all', async () => {
    const { server, ask } = await withRoutes();
    try {
      const table: Record<string, number[]> = {};
      for (const path of ['/v1/admin/thing', '/v1/gates', '/v1/agents', '/open']) {
        const answers = await Promise.all([user, admin, approver, undefined].map((key) => ask(path, key)));
        table[path] = answers.map(({ status }) => status);
      }
      expect(table).toEqual({
        '/v1/admin/thing': [403, 200, 403, 401],
        '/v1/gates': [403, 403, 200, 401],
        '/v1/agents': [200, 200, 200, 401],
        '/open': [200, 200, 200, 200],
      });
      const error = await errorOf(await ask('/v1/admin/thing', user));
      expect(error).toMatchObject({
        code: 'FORBIDDEN',
        type: 'permission_error',
        fields: { required_role: 'admin', role: 'user' },
      });
    } finally {
      await server.close();
    }
  });

  it.each([
    '/v1/admin%2fthing',
    '/v1//admin/thing',
    '/V1/ADMIN/thing',
    '/v1/%61dmin/thing',
    '/v1/x/../admin/thing',
  ])('are not evaded by spelling: %s', async (path) => {
    const { server } = await withRoutes();
    try {
      const response = await server.app.inject({
        url: path,
        headers: { host: 'localhost', ...bearer(user) },
      });
      expect([403, 404]).toContain(response.statusCode);
    } finally {
      await server.close();
    }
  });
});

describe('without keys', () => {
  const token = 'bm90LWEtcmVhbC10b2tlbi1qdXN0LWEtdGVzdC0xMjM';

  async function open(approverToken?: string) {
    const server = createServer(new FakeEngine(), { model: 'tiny', approverToken });
    server.app.get('/v1/admin/thing', async ({ caller }) => ({ role: caller.role, name: caller.name }));
    server.app.get('/v1/gate', { config: { role: 'approver' } }, async ({ caller }) => ({
      name: caller.name,
    }));
    server.app.get('/v1/inner', async (request) => {
      requireRole(request, 'approver');
      return {};
    });
    const { url } = await server.listen({ port: 0 });
    return { server, get: (path: string, headers = {}) => fetch(url + path, { headers }) };
  }

  it('everybody may do everything but open gates', async () => {
    const { server, get } = await open();
    try {
      expect(await (await get('/v1/admin/thing')).json()).toEqual({ role: 'anyone' });
      expect(await (await get('/v1/admin/thing', bearer('of-some-other-server-1'))).json()).toEqual({
        role: 'anyone',
      });
      for (const path of ['/v1/gate', '/v1/inner']) {
        const response = await get(path);
        expect(response.status).toBe(401);
        expect(await errorOf(response)).toMatchObject({ code: 'UNAUTHORIZED' });
      }
    } finally {
      await server.close();
    }
  });

  it('the approver token opens gates, and takes nothing of the rest away', async () => {
    const { server, get } = await open(token);
    try {
      expect(await (await get('/v1/gate', bearer(token))).json()).toEqual({ name: 'approver' });
      expect((await get('/v1/inner', { 'x-api-key': token })).status).toBe(200);
      expect(await (await get('/v1/admin/thing', bearer(token))).json()).toEqual({
        role: 'anyone',
        name: 'approver',
      });
    } finally {
      await server.close();
    }
  });

  it.each([
    ['none', {}, 'Bearer realm="stomp-serve"'],
    ['a wrong one', bearer(`${token}x`), 'Bearer realm="stomp-serve", error="invalid_token"'],
    ['a part of it', bearer(token.slice(0, -1)), 'Bearer realm="stomp-serve", error="invalid_token"'],
  ])('opens none for %s, and says where the token is', async (_, headers, challenge) => {
    const { server, get } = await open(token);
    try {
      const response = await get('/v1/gate', headers);
      expect(response.status).toBe(401);
      expect(response.headers.get('www-authenticate')).toBe(challenge);
      const { message } = await errorOf(response);
      expect(message).toContain('approver-token');
      expect(message).not.toContain(token.slice(0, 8));
    } finally {
      await server.close();
    }
  });

  it('takes no token that could be guessed', () => {
    expect(() => createServer(new FakeEngine(), { model: 'tiny', approverToken: 'short' })).toThrow(
      /16 characters/,
    );
  });
});
