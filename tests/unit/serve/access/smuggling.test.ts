/** A body never holds a second request, whatever the headers say of its length. */
import { describe, expect, it } from 'vitest';
import { start, until } from '../harness.js';
import { open, request, sendRaw, statuses } from './raw.js';

const hidden = 'GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n';
const post = ['POST /v1/agents/a/generate HTTP/1.1', 'Host: localhost', 'Content-Type: application/json'];
const get = ['GET /v1/models HTTP/1.1', 'Host: localhost'];
const chunked = 'Transfer-Encoding: chunked';

const refused: [name: string, bytes: string][] = [
  ['a length and chunks', request([...post, 'Content-Length: 5', chunked], `0\r\n\r\n${hidden}`)],
  ['chunks and a length', request([...post, chunked, 'Content-Length: 5'], `0\r\n\r\n${hidden}`)],
  ['two lengths', request([...post, 'Content-Length: 2', 'Content-Length: 60'], `{}${hidden}`)],
  ['two equal lengths', request([...post, 'Content-Length: 2', 'Content-Length: 2'], `{}${hidden}`)],
  ['a list of lengths', request([...post, 'Content-Length: 2, 60'], `{}${hidden}`)],
  ['a negative length', request([...post, 'Content-Length: -1'], hidden)],
  ['a length with a sign', request([...post, 'Content-Length: +2'], `{}${hidden}`)],
  ['a length in hexadecimal', request([...post, 'Content-Length: 0x2'], `{}${hidden}`)],
  ['a length beyond all numbers', request([...post, `Content-Length: ${'9'.repeat(40)}`], hidden)],
  ['no length at all before the colon', request([...post, 'Content-Length : 2'], `{}${hidden}`)],
  ['a space before the colon', request([...post, 'Transfer-Encoding : chunked'], `0\r\n\r\n${hidden}`)],
  ['chunks that are not the last coding', request([...post, 'Transfer-Encoding: chunked, gzip'], hidden)],
  ['a coding nobody knows', request([...post, 'Transfer-Encoding: xchunked'], `0\r\n\r\n${hidden}`)],
  [
    'a coding behind a control character',
    request([...post, 'Transfer-Encoding: \x0bchunked'], `0\r\n\r\n${hidden}`),
  ],
  ['a chunk size that is none', request([...post, chunked], `x\r\n{}\r\n0\r\n\r\n${hidden}`)],
  ['a chunk size with a sign', request([...post, chunked], `+2\r\n{}\r\n0\r\n\r\n${hidden}`)],
  ['a chunk size in C', request([...post, chunked], `0x2\r\n{}\r\n0\r\n\r\n${hidden}`)],
  [
    'a chunk size beyond all numbers',
    request([...post, chunked], `${'f'.repeat(20)}\r\n{}\r\n0\r\n\r\n${hidden}`),
  ],
  ['a chunk longer than it says', request([...post, chunked], `1\r\n{}\r\n0\r\n\r\n${hidden}`)],
  ['a chunk with a bare line feed', request([...post, chunked], `2\n{}\n0\n\n${hidden}`)],
  [
    'long chunk extensions',
    request([...post, chunked], `2;${'x'.repeat(20_000)}\r\n{}\r\n0\r\n\r\n${hidden}`),
  ],
  [
    'a folded header',
    request([...post, 'X-A: 1', ' Content-Length: 60', 'Content-Length: 2'], `{}${hidden}`),
  ],
  ['bare line feeds', `${post.join('\n')}\nContent-Length: 2\n\n{}${hidden}`],
  [
    'a bare carriage return in a header',
    request([...post, 'X-A: 1\rTransfer-Encoding: chunked', 'Content-Length: 2'], `{}${hidden}`),
  ],
  ['a NUL in a header', request([...post, 'X-A: 1\0', 'Content-Length: 2'], `{}${hidden}`)],
  ['a DEL in a header', request([...post, 'X-Agent-ID: a\x7f', 'Content-Length: 2'], `{}`)],
  ['a header without a colon', request([...post, 'Content-Length 2'], `{}${hidden}`)],
  ['a header without a name', request([...post, ': 2'], `{}${hidden}`)],
  ['no version', `GET /v1/models\r\n\r\n${hidden}`],
  ['a version nobody knows', request(['GET /v1/models HTTP/3.7', 'Host: localhost'], hidden)],
  ['a method nobody knows', request(['SMUGGLE / HTTP/1.1', 'Host: localhost'], hidden)],
  ['a method in small letters', request(['get /v1/models HTTP/1.1', 'Host: localhost'], hidden)],
  ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ['the beginning of TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n'],
  ['a tunnel', request(['CONNECT localhost:80 HTTP/1.1', 'Host: localhost'], hidden)],
];

describe('closes the connection for', () => {
  it.each(refused)('%s', async (_, bytes) => {
    const { port, engine } = await start();
    const { text, closed } = await sendRaw(port, Buffer.from(bytes, 'latin1'));
    expect(text).not.toContain('smuggled');
    expect(closed).toBe(true);
    expect(statuses(text).every((status) => status >= 400 && status < 500)).toBe(true);
    expect(statuses(text).length).toBeLessThanOrEqual(1);
    if (text !== '') expect(text).toMatch(/x-request-id: req_/i);
    expect(engine.calls).toEqual([]);
  });
});

it('refuses the whole address of somebody else, and one of its own', async () => {
  const { port } = await start();
  for (const target of [
    'http://evil.example/v1/models',
    'http://localhost/v1/models',
    'localhost',
    'v1/models',
  ]) {
    const { text } = await sendRaw(
      port,
      request([`GET ${target} HTTP/1.1`, 'Host: localhost', 'Connection: close']),
    );
    expect(statuses(text)).toEqual([400]);
  }
});

it('takes a body by its length and no further', async () => {
  const { port, engine } = await start();
  const body = '{"message":"Hi"}';
  const { text } = await sendRaw(
    port,
    request([...post, `Content-Length: ${body.length}`], body + request([...get, 'Connection: close'])),
  );
  expect(statuses(text)).toEqual([200, 200]);
  expect(engine.calls).toHaveLength(1);
});

it('answers requests that were sent together in their order', async () => {
  const { port } = await start();
  const paths = ['/v1/models', '/nowhere', '/health/live', '/v1/agents/%ff'];
  const bytes = paths.map((path) => request([`GET ${path} HTTP/1.1`, 'Host: localhost'])).join('');
  const { text } = await sendRaw(port, bytes);
  expect(statuses(text)).toEqual([200, 404, 200, 400]);
});

it('does not run more of them at once than a client has reason to send', async () => {
  const { port, engine, server } = await start();
  engine.script = { tokens: ['a', 'b'], tokenMs: 100 };
  const body = '{"message":"Hi"}';
  const one = request([...post, `Content-Length: ${body.length}`], body);
  const { text, closed } = await sendRaw(port, one.repeat(40), 1000);
  expect(engine.calls.length).toBeLessThanOrEqual(16);
  expect(statuses(text).filter((status) => status === 200)).toHaveLength(engine.calls.length);
  expect(statuses(text)).toContain(429);
  expect(closed).toBe(true);
  expect(server.runningTurns).toBe(0);
});

it.each([
  ['X-HTTP-Method-Override', 'DELETE'],
  ['X-HTTP-Method', 'DELETE'],
  ['X-Method-Override', 'DELETE'],
  ['X-Original-URL', '/smuggled'],
  ['X-Rewrite-URL', '/smuggled'],
  ['X-Forwarded-Host', 'evil.example'],
])('%s changes nothing', async (name, value) => {
  const { post: ask, engine } = await start();
  await ask('/v1/agents/a/generate', { message: 'Hi' });
  const response = await ask('/v1/agents/a/save', {}, { [name]: value });
  expect(response.status).toBe(200);
  expect(engine.known.has('a')).toBe(true);
});

it.each([
  [
    'websocket',
    ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: eA=='],
  ],
  ['h2c', ['Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAAQAAP__']],
])('does not become %s', async (_, headers) => {
  const { port } = await start();
  const { text } = await sendRaw(port, request([...get, ...headers], request([...get, 'Connection: close'])));
  expect(statuses(text)).not.toContain(101);
  expect(statuses(text)[0]).toBe(200);
});

it('an expectation that is none is refused, and 100-continue is met', async () => {
  const { port } = await start();
  const body = '{"message":"Hi"}';
  const head = [...post, `Content-Length: ${body.length}`, 'Connection: close'];
  expect(statuses((await sendRaw(port, request([...head, 'Expect: 100-continue'], body))).text)).toEqual([
    100, 200,
  ]);
  expect(statuses((await sendRaw(port, request([...head, 'Expect: wonders'], body))).text)).toEqual([417]);
});

it('garbage after a request is not answered in the middle of its stream', async () => {
  const { port, engine } = await start();
  engine.script = { tokens: Array<string>(500).fill('x'), tokenMs: 20 };
  const body = '{"message":"Hi","stream":true}';
  const connection = open(port);
  connection.socket.write(request([...post, `Content-Length: ${body.length}`], body));
  await until(() => connection.text().includes('"text":"x"'), 'the stream has begun');
  connection.socket.write('NOT HTTP\r\n\r\n');
  await connection.closed;
  expect(statuses(connection.text())).toEqual([200]);
  expect(connection.text()).not.toContain('This is not an HTTP request');
  await until(() => engine.cancelled === 1, 'the answer is cancelled');
});
