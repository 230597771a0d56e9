import { once } from 'node:events';
import { networkInterfaces } from 'node:os';
import { Readable } from 'node:stream';
import { describe, expect, it, vi } from 'vitest';
import type { AgentInfo } from '../../../../ts/engine/types.js';
import { Bodies } from '../../../../ts/serve/access/bodies.js';
import { KeyRing } from '../../../../ts/serve/access/keys.js';
import { createServer, type StompServer } from '../../../../ts/serve/server.js';
import { FakeEngine } from '../fake-engine.js';
import { errorOf, hello, start, until } from '../harness.js';
import { open, request, statuses } from './raw.js';

const post = ['POST /v1/chat/completions HTTP/1.1', 'Host: localhost', 'Content-Type: application/json'];
const quick = { connections: { requestTimeoutMs: 1000, headersTimeoutMs: 300 } };

describe('a client that is slow', () => {
  it.each([
    ['says nothing', ''],
    ['does not end its headers', 'POST /v1/chat/completions HTTP/1.1\r\nHost: local'],
    ['does not send its body', request([...post, 'Content-Length: 100'])],
    ['does not end its body', request([...post, 'Transfer-Encoding: chunked'], '2\r\n{"\r\n')],
  ])('%s, and is let go with 408', async (_, bytes) => {
    const { server, port, engine, get } = await start(quick);
    const { socket, text, closed } = open(port);
    if (bytes !== '') socket.write(bytes);
    await closed;
    expect(statuses(text())).toEqual([408]);
    expect(text()).toMatch(/x-request-id: req_/i);
    expect(text()).toContain('"code":"INVALID_REQUEST"');
    expect(engine.calls).toEqual([]);
    expect(server.runningTurns).toBe(0);
    expect((await get('/v1/models')).status).toBe(200);
  });

  it('has all the time it wants for the answer', async () => {
    const { post: ask, engine } = await start(quick);
    engine.script = { tokens: Array<string>(8).fill('x'), tokenMs: 200 };
    expect((await ask('/v1/chat/completions', { messages: hello })).status).toBe(200);
  });

  it('takes nothing of a long answer, and is let go', async () => {
    const { server, port, engine, get } = await start({ connections: { stallTimeoutMs: 300 } });
    engine.agent('a').chat('Hi');
    const known = (await engine.agents())[0] as AgentInfo;
    engine.agents = async () => Array<AgentInfo>(50_000).fill(known);
    const { socket } = open(port);
    socket.pause();
    socket.write(request(['GET /v1/agents HTTP/1.1', 'Host: localhost']));
    await until(async () => (await connections(server)) === 1, 'it is connected');
    await until(async () => (await connections(server)) === 0, 'no connection is left');
    expect((await get('/v1/models')).status).toBe(200);
  });

  it('and keeps its own side open is cut off', async () => {
    const { port, server } = await start(quick);
    const { socket } = open(port);
    socket.allowHalfOpen = true;
    socket.write('NOT HTTP\r\n\r\n');
    await until(async () => (await connections(server)) === 0, 'no connection is left');
  });
});

describe('too many connections', () => {
  it('are closed at once, and make idle ones give way', async () => {
    const { port, get, server } = await start({ connections: { maxConnections: 3 } });
    const idle = await Promise.all([1, 2].map(() => greeted(port)));
    const busy = open(port);
    busy.socket.write('GET /v1/mod');
    await until(async () => (await connections(server)) === 3, 'all are taken');
    const refused = open(port);
    await refused.closed;
    expect(refused.text()).toBe('');
    await Promise.all(idle.map(({ closed }) => closed));
    expect((await get('/v1/models', { connection: 'close' })).status).toBe(200);
    busy.socket.write('els HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await until(() => statuses(busy.text())[0] === 200, 'the one at work is answered');
  });
});

describe('bodies that arrive', () => {
  it('are let go by size when there are too many bytes of them', async () => {
    const bodies = new Bodies({ arrivingBytes: 1000 });
    const { server, port } = await listening(bodies);
    const [small, large] = [open(port), open(port)];
    small.socket.write(request(['POST / HTTP/1.1', 'Host: x', 'Content-Length: 300'], 'x'.repeat(250)));
    await until(() => bodies.bytes === 250, 'the small one has arrived');
    large.socket.write(request(['POST / HTTP/1.1', 'Host: x', 'Content-Length: 900'], 'x'.repeat(800)));
    await until(() => large.text().includes('QUEUE_FULL'), 'the large one is refused');
    expect(bodies.bytes).toBe(250);
    small.socket.write('x'.repeat(50));
    await until(() => small.text().endsWith('x'.repeat(300)), 'the small one is taken');
    expect(bodies.bytes).toBe(0);
    await server.close();
  });

  it('are forgotten when their client goes', async () => {
    const bodies = new Bodies({ arrivingBytes: 1000 });
    const { server, port } = await listening(bodies);
    const { socket } = open(port);
    socket.write(request(['POST / HTTP/1.1', 'Host: x', 'Content-Length: 300'], 'x'.repeat(250)));
    await until(() => bodies.bytes === 250, 'it arrives');
    socket.destroy();
    await until(() => bodies.bytes === 0, 'it is forgotten');
    await server.close();
  });

  it('are given up when their client has gone before they are read', async () => {
    const bodies = new Bodies();
    const payload = Readable.from([Buffer.from('{}')]);
    payload.destroy();
    await once(payload, 'close');
    await expect(bodies.read({}, payload, 100)).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
  });

  it('do not count when their response has ended before they are read', async () => {
    const bodies = new Bodies();
    const request = {};
    bodies.release(request);
    expect(await bodies.read(request, Readable.from([Buffer.from('{}')]), 100)).toBe('{}');
    expect(bodies.heldBytes).toBe(0);
  });

  it('of a rush that goes at once leave nothing behind', async () => {
    const read = vi.spyOn(Bodies.prototype, 'read');
    const { port, get } = await start();
    const rush = Array.from({ length: 50 }, () => open(port));
    await Promise.all(rush.map(({ socket }) => once(socket, 'connect')));
    for (const { socket } of rush) {
      socket.write(request([...post, 'Content-Length: 300'], 'x'));
      socket.resetAndDestroy();
    }
    await Promise.all(rush.map(({ closed }) => closed));
    expect((await get('/v1/agents')).status).toBe(200);
    const results = read.mock.results.map(({ value }) => value as Promise<string>);
    read.mockRestore();
    await expect(Promise.allSettled(results)).resolves.toHaveLength(results.length);
  });

  it('are counted until their answers have ended, and refused beyond a sum unless they are small', async () => {
    const engine = new FakeEngine();
    engine.script = { tokens: ['slow', 'ly'], tokenMs: 300 };
    const { post, server } = await start({ bodies: { heldBytes: 300_000 } }, engine);
    const ask = (size: number) =>
      post('/v1/chat/completions', { messages: [{ role: 'user', content: 'x'.repeat(size) }] });
    const first = ask(200_000);
    await until(() => server.runningTurns === 1, 'the first is under way');
    const refused = await ask(150_000);
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '1']);
    expect(await errorOf(refused)).toMatchObject({ code: 'QUEUE_FULL', param: 'body' });
    expect((await ask(50_000)).status).toBe(200);
    expect((await first).status).toBe(200);
    expect((await ask(150_000)).status).toBe(200);
    expect((await ask(400_000)).status).toBe(200);
  });

  it('are given back when their client goes before the answer', async () => {
    const engine = new FakeEngine();
    engine.script = { tokens: Array<string>(1000).fill('x'), tokenMs: 10 };
    const { url, server, post } = await start({ bodies: { heldBytes: 300_000 } }, engine);
    const body = JSON.stringify({ messages: [{ role: 'user', content: 'x'.repeat(200_000) }] });
    const gone = new AbortController();
    const headers = { 'content-type': 'application/json' };
    const init = { method: 'POST', headers, body, signal: gone.signal };
    const left = fetch(`${url}/v1/chat/completions`, init);
    await until(() => server.runningTurns === 1, 'it is under way');
    gone.abort();
    await expect(left).rejects.toThrow();
    await until(() => server.runningTurns === 0, 'it has ended');
    engine.script = {};
    expect((await post('/v1/chat/completions', body)).status).toBe(200);
  });

  it.each([
    ['/v1/chat/completions', { messages: hello }],
    ['/v1/completions', { prompt: 'Hello' }],
    ['/v1/messages', { model: 'tiny', max_tokens: 9, messages: hello }],
    ['/v1/agents/ann/generate', { message: 'Hello' }],
  ])('are not kept while a turn of %s runs', async (path, body) => {
    const engine = new FakeEngine();
    engine.script = { tokens: ['slow'], tokenMs: 100 };
    const server = createServer(engine, { model: 'tiny' });
    const requests: { body: unknown }[] = [];
    server.app.addHook('preHandler', async (request) => void requests.push(request));
    const { url } = await server.listen({ port: 0 });
    const headers = { 'content-type': 'application/json' };
    const answer = fetch(url + path, { method: 'POST', headers, body: JSON.stringify(body) });
    await until(() => engine.calls.length === 1, 'it runs');
    expect(requests.map((request) => request.body)).toEqual([undefined]);
    expect((await answer).status).toBe(200);
    await server.close();
  });

  it('are UTF-8', async () => {
    const { url } = await start();
    const ask = (body: Buffer) =>
      fetch(`${url}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
      });
    const text = JSON.stringify({ messages: [{ role: 'user', content: 'grüß dich 👋' }] });
    expect((await ask(Buffer.from(text))).status).toBe(200);
    for (const body of [
      Buffer.from(text, 'latin1'),
      Buffer.from(text, 'utf16le'),
      Buffer.from([0xff, 0xfe]),
    ]) {
      const response = await ask(body);
      expect(response.status).toBe(400);
      expect(await errorOf(response)).toMatchObject({ code: 'INVALID_REQUEST', param: 'body' });
    }
  });
});

describe('other machines', () => {
  const address = Object.values(networkInterfaces())
    .flat()
    .find((network) => network?.family === 'IPv4' && !network.internal)?.address;
  const key = 'a-key-that-is-long-enough';
  const keys = () => new KeyRing([{ role: 'user', key }]);

  it('need keys and leave', async () => {
    const withKeys = createServer(new FakeEngine(), { keys: keys() });
    await expect(withKeys.listen({ host: '0.0.0.0', port: 0 })).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('add --allow-remote,') as string,
      fields: { field: 'host', value: '0.0.0.0' },
    });
    const without = createServer(new FakeEngine());
    await expect(without.listen({ host: '0.0.0.0', port: 0, allowRemote: true })).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('add --api-key-file') as string,
    });
    await Promise.all([withKeys.close(), without.close()]);
  });

  it('may ask by address and by the names that were given, with a key', async () => {
    const server = createServer(new FakeEngine(), {
      model: 'tiny',
      keys: keys(),
      allowedHosts: ['GPU.example'],
    });
    const { port } = await server.listen({ host: '0.0.0.0', port: 0, allowRemote: true });
    const ask = async (host: string, headers: readonly string[] = [`x-api-key: ${key}`]) => {
      const { socket, text } = open(port);
      socket.write(request(['GET /v1/models HTTP/1.1', `Host: ${host}`, ...headers]));
      await until(() => text().includes('\r\n\r\n'), 'there is an answer');
      socket.destroy();
      return statuses(text())[0];
    };
    try {
      expect(await ask(`127.0.0.1:${port}`)).toBe(200);
      expect(await ask(`192.168.1.5:${port}`)).toBe(200);
      expect(await ask('[2001:db8::1]:8000')).toBe(200);
      expect(await ask('gpu.example')).toBe(200);
      expect(await ask('gpu.example', [])).toBe(401);
      expect(await ask('evil.example')).toBe(403);
      expect(await ask('192.168.1.5.evil.example')).toBe(403);
      const page = (origin: string) => [`x-api-key: ${key}`, `Origin: ${origin}`];
      expect(await ask('192.168.1.5', page('http://192.168.1.5'))).toBe(200);
      expect(await ask('192.168.1.5', page('http://192.168.1.6'))).toBe(403);
    } finally {
      await server.close();
    }
  });

  it.runIf(address)('are served', async () => {
    const server = createServer(new FakeEngine(), { model: 'tiny', keys: keys() });
    const { url } = await server.listen({ host: address ?? '', port: 0, allowRemote: true });
    try {
      expect((await fetch(`${url}/v1/models`, { headers: { 'x-api-key': key } })).status).toBe(200);
      expect((await fetch(`${url}/v1/models`)).status).toBe(401);
      expect((await fetch(`${url}/health/live`)).status).toBe(200);
    } finally {
      await server.close();
    }
  });
});

function connections(server: StompServer): Promise<number> {
  return new Promise((resolve, reject) =>
    server.app.server.getConnections((error, count) => (error ? reject(error) : resolve(count))),
  );
}

/** A connection that has had its answer and waits. */
async function greeted(port: number) {
  const connection = open(port);
  connection.socket.write(request(['GET /health/live HTTP/1.1', 'Host: localhost']));
  await until(() => connection.text().includes('"live"'), 'it is answered');
  return connection;
}

/** Answers with the body that came, or the code of what was wrong. */
async function listening(bodies: Bodies) {
  const { createServer: createHttpServer } = await import('node:http');
  const server = createHttpServer((message, response) => {
    bodies.read(message, message, 1000).then(
      (text) => response.end(text),
      (error: { code: string }) => response.end(error.code),
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  return {
    port,
    server: {
      close: async () => {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      },
    },
  };
}
