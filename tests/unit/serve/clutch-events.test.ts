/** What happens, as a stream: nothing lost, nothing twice, and in nobody's way. */
import { once } from 'node:events';
import { connect } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { start } from './harness.js';
import { TestClutch } from './test-clutch.js';

interface Message {
  readonly event: string;
  readonly id: number | undefined;
  readonly data: {
    readonly seq?: number;
    readonly type?: string;
    readonly body?: { readonly text?: string };
  };
}

async function open() {
  const clutch = await TestClutch.open();
  const running = await start({ clutch, shutdownTimeoutMs: 60_000 });
  return { ...running, clutch, run: await clutch.start({ prompt: 'x' }) };
}

function messageOf(text: string): Message | undefined {
  const lines = new Map(text.split('\n').map((line) => line.split(/: (.*)/, 2) as [string, string]));
  const data = lines.get('data');
  if (data === undefined) return undefined;
  const id = lines.get('id');
  return {
    event: lines.get('event') ?? '',
    id: id === undefined ? undefined : Number(id),
    data: JSON.parse(data) as Message['data'],
  };
}

/** Reads until `enough` is there, and goes away. */
async function read(
  url: string,
  headers: Record<string, string>,
  enough: (messages: readonly Message[]) => boolean,
): Promise<Message[]> {
  const leave = new AbortController();
  const response = await fetch(url, { headers, signal: leave.signal });
  expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
  const messages: Message[] = [];
  const decoder = new TextDecoder();
  let left = '';
  for await (const chunk of response.body ?? []) {
    const parts = (left + decoder.decode(chunk as Uint8Array, { stream: true })).split('\n\n');
    left = parts.pop() ?? '';
    messages.push(...parts.flatMap((part) => messageOf(part) ?? []));
    if (enough(messages)) break;
  }
  leave.abort();
  return messages;
}

const numbered = (messages: readonly Message[]) => messages.filter(({ event }) => event !== 'system');

describe('the stream of events', () => {
  it('begins with how everything is, for somebody who knows nothing', async () => {
    const { url, clutch, run } = await open();
    const got = await read(`${url}/v1/events`, {}, (all) => {
      const { length } = numbered(all);
      if (length < 3) void clutch.say(run, 'more');
      return length >= 3;
    });
    const [snapshot, ...events] = numbered(got);
    expect(snapshot).toMatchObject({ event: 'snapshot', id: snapshot?.data.seq });
    expect(events.map(({ id }) => id)).toEqual(events.map((_, i) => (snapshot?.id ?? 0) + 1 + i));
    for (const { event, id, data } of events) expect(data).toMatchObject({ seq: id, type: event });
  });

  it.each([
    ['as the address says', '?after=1', {}],
    [
      'as a browser says that connects again, whatever its address says',
      '?after=0',
      { 'last-event-id': '1' },
    ],
  ])('goes on %s', async (_, query, headers: Record<string, string>) => {
    const { url, clutch, run } = await open();
    await clutch.say(run, 'a');
    await clutch.say(run, 'b');
    const got = await read(`${url}/v1/events${query}`, headers, (all) => numbered(all).length >= 2);
    expect(numbered(got).map(({ id, event, data }) => [id, event, data.body?.text])).toEqual([
      [2, 'text', 'a'],
      [3, 'text', 'b'],
    ]);
  });

  it.each([
    ['is deleted', 0, 2],
    ['was never there', 77, 0],
  ])('begins anew where what is known %s', async (_, after, gone) => {
    const { url, clutch, run } = await open();
    await clutch.say(run, 'a');
    clutch.gone = gone;
    const got = await read(`${url}/v1/events?after=${after}`, {}, (all) => numbered(all).length >= 1);
    expect(numbered(got)[0]).toMatchObject({ event: 'snapshot', id: 2 });
  });

  it('has figures of the process in between, which have no number', async () => {
    const { url } = await open();
    const got = await read(`${url}/v1/events`, {}, (all) => all.some(({ event }) => event === 'system'));
    expect(got.find(({ event }) => event === 'system')).toMatchObject({
      id: undefined,
      data: { cpu_percent: 1 },
    });
  });

  it.each(['after=x', 'after=-1', 'after=1.5', 'since=1'])('is not begun at %s', async (query) => {
    const { get } = await open();
    expect((await get(`/v1/events?${query}`)).status).toBe(400);
  });

  it('answers HEAD without a body', async () => {
    const { url } = await open();
    const response = await fetch(`${url}/v1/events`, { method: 'HEAD' });
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toContain('text/event-stream');
  });

  it('loses nothing and repeats nothing, wherever it is dropped and resumed', async () => {
    const { url, clutch, run } = await open();
    const { seq: before } = clutch.state.snapshot();
    let written = 0;
    let isOver = false;
    const writing = (async () => {
      while (!isOver) {
        await clutch.say(run, String(written++));
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 6 }),
        async (drops) => {
          let after = before;
          const texts: string[] = [];
          for (const most of drops) {
            const got = numbered(
              await read(
                `${url}/v1/events`,
                { 'last-event-id': String(after) },
                (all) => numbered(all).length >= most,
              ),
            );
            texts.push(...got.map(({ data }) => data.body?.text ?? ''));
            after = got.at(-1)?.id ?? after;
          }
          expect(texts).toEqual(texts.map((_, i) => String(i)));
          expect(texts.length).toBeGreaterThanOrEqual(drops.reduce((sum, most) => sum + most));
        },
      ),
      { numRuns: 15 },
    );
    isOver = true;
    await writing;
  });

  it('is no running turn, and ends at once when the server shuts down', async () => {
    const { url, server } = await open();
    let reading: Promise<unknown> | undefined;
    await new Promise<void>((began) => {
      reading = read(`${url}/v1/events`, {}, () => {
        began();
        return false;
      });
    });
    expect(server.runningTurns).toBe(0);
    const started = performance.now();
    await server.close();
    await reading;
    expect(performance.now() - started).toBeLessThan(1900);
  });

  it('does not keep more for a client that reads nothing than fits its connection', async () => {
    const { port, clutch, run, server } = await open();
    const client = connect(port, '127.0.0.1');
    client.write('GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await once(client, 'data');
    client.pause();
    const text = 'x'.repeat(1 << 16);
    for (let i = 0; i < 400; i++) await clutch.say(run, text);
    const sockets = await new Promise<number>((resolve) =>
      server.app.server.getConnections((_, n) => resolve(n)),
    );
    expect(sockets).toBe(1);
    // What it has not taken is not held in this process: 400 events are 26 MB.
    const before = process.memoryUsage().arrayBuffers;
    expect(before).toBeLessThan(20 << 20);
    let seen = 0;
    client.on('data', (data: Buffer) => (seen += data.length));
    client.resume();
    await expect.poll(() => seen).toBeGreaterThan(400 * text.length);
    client.destroy();
  });
});
