/** The server inside other servers: plain node:http, Fastify, Express. */
import { createServer as createHttpServer, type RequestListener, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import Fastify from 'fastify';
import { afterEach, describe, expect, it } from 'vitest';
import { KeyRing } from '../../../ts/serve/access/keys.js';
import { createServer } from '../../../ts/serve/server.js';
import { FakeEngine } from './fake-engine.js';
import { errorOf, events, hello } from './harness.js';

const open: Server[] = [];
afterEach(async () => {
  for (const server of open.splice(0)) await new Promise((resolve) => server.close(resolve));
});

async function listening(listener: RequestListener): Promise<string> {
  const server = createHttpServer(listener);
  open.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const ask = (url: string, body: object) =>
  fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', connection: 'close' },
    body: JSON.stringify({ messages: hello, ...body }),
  });

async function answersBelow(url: string): Promise<void> {
  const whole = (await (await ask(url, {})).json()) as { choices: { message: { content: string } }[] };
  expect(whole.choices[0]?.message.content).toBe('Hello there!');
  const streamed = await events(await ask(url, { stream: true }));
  expect(streamed.at(-1)).toBe('[DONE]');
  const wrong = await ask(url, { nonsense: 1 });
  expect(wrong.status).toBe(400);
  expect((await errorOf(wrong)).code).toBe('INVALID_REQUEST');
  expect((await fetch(`${url}/v1/nothing`)).status).toBe(404);
}

describe('a server of node:http', () => {
  it('hands on the requests it likes', async () => {
    const server = createServer(new FakeEngine(), { model: 'tiny' });
    await answersBelow(await listening(server.handler));
    await server.close();
  });

  it('gets an error to answer with when a plug-in of the server does not load', async () => {
    const server = createServer(new FakeEngine(), { model: 'tiny' });
    server.app.register(async () => {
      throw new Error('no plug-in');
    });
    const response = await fetch(`${await listening(server.handler)}/v1/models`);
    expect(response.status).toBe(500);
    expect((await errorOf(response)).code).toBe('GENERATION_FAILED');
  });

  it('may go on after the server has closed, which then refuses', async () => {
    const server = createServer(new FakeEngine(), { model: 'tiny' });
    const url = await listening(server.handler);
    await answersBelow(url);
    await server.close();
    const response = await ask(url, {});
    expect(response.status).toBe(503);
    expect((await errorOf(response)).code).toBe('SHUTTING_DOWN');
  });

  it('asks for the keys of the server, and answers to the names it was told', async () => {
    const keys = new KeyRing([{ key: 'a-key-of-sixteen', role: 'user' }]);
    const closed = createServer(new FakeEngine(), { model: 'tiny', keys });
    expect((await ask(await listening(closed.handler), {})).status).toBe(401);
    const named = createServer(new FakeEngine(), { model: 'tiny', allowedHosts: ['gpu-box'] });
    const url = await listening(named.handler);
    expect(await statusFor(url, 'gpu-box')).toBe(200);
    expect(await statusFor(url, 'elsewhere.example')).toBe(403);
  });
});

/** `fetch` lets nobody choose the Host. */
function statusFor(url: string, host: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const sent = request(`${url}/v1/models`, { headers: { host, connection: 'close' } }, (response) => {
      response.resume().once('end', () => resolve(response.statusCode));
    });
    sent.once('error', reject).end();
  });
}

describe('an Express application', () => {
  it.each([
    ['without parsers', []],
    ['behind a parser that has read the body', [express.json()]],
    ['behind a parser of texts', [express.text({ type: '*/*' })]],
    ['behind a parser that keeps bytes', [express.raw({ type: '*/*' })]],
  ])('mounts the handler %s', async (_, parsers) => {
    const server = createServer(new FakeEngine(), { model: 'tiny' });
    const app = express();
    for (const parser of parsers) app.use(parser);
    app.use('/llm', server.handler);
    app.get('/', (_request, response) => void response.send('own'));
    const url = await listening(app);
    expect(await (await fetch(url)).text()).toBe('own');
    await answersBelow(`${url}/llm`);
    await server.close();
  });
});

describe('a Fastify application', () => {
  it('registers the plug-in at a prefix, beside routes of its own', async () => {
    const server = createServer(new FakeEngine(), { model: 'tiny' });
    const app = Fastify();
    app.post('/own', (request) => request.body);
    app.register(server.plugin, { prefix: '/llm' });
    const url = await app.listen({ port: 0 });
    const own = await fetch(`${url}/own`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"a":1}',
    });
    expect(await own.json()).toEqual({ a: 1 });
    await answersBelow(`${url}/llm`);
    await app.close();
  });

  it('lets running answers end when the application closes', async () => {
    const engine = new FakeEngine();
    engine.script = { tokens: ['slow', 'ly'], tokenMs: 100 };
    const server = createServer(engine, { model: 'tiny' });
    const app = Fastify({ forceCloseConnections: 'idle' });
    app.register(server.plugin);
    const url = await app.listen({ port: 0 });
    const response = ask(url, { stream: true });
    while (server.runningTurns === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    const closed = app.close();
    expect((await events(await response)).at(-1)).toBe('[DONE]');
    await closed;
    expect(server.phase).toBe('draining');
  });

  it.each([
    ['/', ''],
    ['/llm/', '/llm'],
    ['/teams/:team/llm', '/teams/caf%C3%A9/llm'],
    ['/llm', '/%6C%6cm'],
    ['/our llm/é', '/our%20llm/%C3%A9'],
    ['/our/llm', '//our//llm'],
  ])('registers the plug-in at the prefix %s, asked for as %s', async (prefix, path) => {
    const server = createServer(new FakeEngine(), { model: 'tiny' });
    const app = Fastify({ routerOptions: { ignoreDuplicateSlashes: true } });
    app.register(server.plugin, { prefix });
    const url = `${await app.listen({ port: 0 })}${path}`;
    await answersBelow(url);
    expect((await fetch(`${url}/v1/models?limit=5`)).status).toBe(200);
    expect((await fetch(`${url}/health/live`, { method: 'HEAD' })).status).toBe(200);
    expect((await fetch(`${url}/v1/models`, { method: 'DELETE' })).status).toBe(405);
    expect((await fetch(`${url}/?a=/b`)).status).toBe(404);
    await app.close();
  });

  it('registers it twice, and closing lets answers of both end', async () => {
    const engine = new FakeEngine();
    engine.script = { tokens: ['slow', 'ly'], tokenMs: 100 };
    const server = createServer(engine, { model: 'tiny' });
    const app = Fastify();
    app.register(server.plugin, { prefix: '/a' });
    app.register(server.plugin, { prefix: '/b' });
    const url = await app.listen({ port: 0 });
    const responses = [ask(`${url}/a`, { stream: true }), ask(`${url}/b`, { stream: true })];
    while (server.runningTurns < 2) await new Promise((resolve) => setTimeout(resolve, 5));
    const closed = app.close();
    for (const response of responses) expect((await events(await response)).at(-1)).toBe('[DONE]');
    await closed;
  });

  it('leaves bodies beyond the limit of the application to that of the server', async () => {
    const server = createServer(new FakeEngine(), { model: 'tiny', bodyLimitBytes: 5000 });
    const app = Fastify({ bodyLimit: 100 });
    app.register(server.plugin, { prefix: '/llm' });
    const url = `${await app.listen({ port: 0 })}/llm`;
    await answersBelow(url);
    const longer = { messages: [{ role: 'user', content: 'x'.repeat(1000) }] };
    expect((await ask(url, longer)).status).toBe(200);
    const tooLong = await ask(url, { messages: [{ role: 'user', content: 'x'.repeat(6000) }] });
    expect((await errorOf(tooLong)).code).toBe('PAYLOAD_TOO_LARGE');
    await app.close();
  });
});
