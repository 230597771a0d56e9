/** The server inside other servers: plain node:http, Fastify, Express. */
import { createServer as createHttpServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import Fastify from 'fastify';
import { afterEach, describe, expect, it } from 'vitest';
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
});

describe('an Express application', () => {
  it.each([
    ['without parsers', []],
    ['behind a parser that has read the body', [express.json()]],
    ['behind a parser of texts', [express.text({ type: '*/*' })]],
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
});
