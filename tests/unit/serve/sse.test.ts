import { createServer, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { SseStream } from '../../../ts/serve/sse.js';
import { until } from './harness.js';

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

/** A stream and the bare socket at its other end. */
async function connected(
  stallMs: number,
  keepAliveMs = 60_000,
): Promise<{ stream: SseStream; response: ServerResponse; client: Socket }> {
  let arrived!: (response: ServerResponse) => void;
  const response = new Promise<ServerResponse>((resolve) => (arrived = resolve));
  const server = createServer((_, answer) => arrived(answer));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  client.on('error', () => undefined);
  closers.push(() => {
    client.destroy();
    server.closeAllConnections();
    server.close();
  });
  client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  const stream = new SseStream(await response, { 'x-agent-id': 'a' }, { keepAliveMs, stallMs });
  return { stream, response: await response, client };
}

const large = 'x'.repeat(1 << 20);

describe('a stream of events', () => {
  it('waits for a client that reads slowly, and loses nothing', async () => {
    const { stream, response, client } = await connected(60_000);
    client.pause();
    let sent = 0;
    const sending = (async () => {
      for (; sent < 32; sent++) await stream.send([{ data: large }]);
      stream.end();
    })();
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(sent).toBeLessThan(32);
    expect(response.writableLength).toBeLessThan(2 * large.length);
    let received = 0;
    client.on('data', (data) => (received += data.length));
    client.resume();
    await sending;
    await until(() => received > 32 * large.length, 'all has arrived');
  });

  it('lets go of a client that reads nothing', async () => {
    const { stream, response, client } = await connected(100);
    client.pause();
    for (let i = 0; i < 32; i++) await stream.send([{ data: large }]);
    expect(response.destroyed).toBe(true);
  });

  it('sends nothing to a client that has gone', async () => {
    const { stream, response, client } = await connected(60_000);
    client.pause();
    const sending = (async () => {
      for (let i = 0; i < 32; i++) await stream.send([{ data: large }]);
    })();
    await new Promise((resolve) => setTimeout(resolve, 100));
    client.destroy();
    await sending;
    await until(() => response.destroyed, 'the response is gone');
    stream.end();
  });

  it('gives a sign of life while there is nothing to say', async () => {
    const { client } = await connected(60_000, 20);
    let text = '';
    client.on('data', (data) => (text += data.toString()));
    await until(() => text.includes(': keep-alive'), 'a comment arrives');
    expect(text).toContain('x-agent-id: a');
  });

  it('writes nothing behind an end, however slow the client is to take it', async () => {
    const { stream, response, client } = await connected(60_000, 10);
    const errors: unknown[] = [];
    response.on('error', (error) => errors.push(error));
    client.pause();
    const sending = (async () => {
      for (let i = 0; i < 32; i++) await stream.send([{ data: large }]);
    })();
    await until(() => response.writableNeedDrain, 'the client is behind');
    response.end('an error of another answer');
    await stream.send([{ data: 'late' }]);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(errors).toEqual([]);
    client.destroy();
    await sending;
  });
});
