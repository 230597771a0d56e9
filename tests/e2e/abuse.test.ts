/** A server among clients that are slow, vanish, or say nonsense, and others that want answers all the while. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import {
  type ServerProcess,
  type ServerSetup,
  serve,
  stomp,
  temporaryFolder,
  until,
} from './server-process.js';

const scale = Number(process.env['STOMP_TEST_SCALE'] ?? 1);
const clients = Math.round(200 * Math.min(scale, 5));
const onLinux = process.platform === 'linux';

const setup: ServerSetup = { args: ['--request-timeout-seconds', '4', '--max-connections', '8192'] };

function head(path: string, ...more: string[]): string {
  return [`POST ${path} HTTP/1.1`, 'Host: localhost', 'Content-Type: application/json', ...more, '', ''].join(
    '\r\n',
  );
}

function streamed(agent: string): string {
  const body = JSON.stringify({ message: 'Tell me more', max_tokens: 300, ignore_eos: true, stream: true });
  return head(`/v1/agents/${agent}/generate`, `Content-Length: ${body.length}`) + body;
}

/** What a client does with its connection, which it has just made. */
type Misdeed = (socket: Socket, number: number) => Promise<void>;

const drip = async (socket: Socket, text: string): Promise<void> => {
  for (let i = 0; i < 20 && !socket.destroyed; i++) {
    socket.write(text);
    await delay(500);
  }
};
const firstBytes = (socket: Socket): Promise<unknown> =>
  new Promise((resolve) => socket.once('data', resolve).once('close', resolve));

const misdeeds: Readonly<Record<string, Misdeed>> = {
  'say nothing': (socket) => until(() => socket.destroyed, 'it is let go', 60_000),
  'drip headers': (socket) => drip(socket, 'X'),
  'drip a body': (socket) => {
    socket.write(head('/v1/chat/completions', 'Content-Length: 1000000'));
    return drip(socket, '[');
  },
  'vanish in the middle of a body': async (socket) => {
    socket.write(
      `${head('/v1/chat/completions', 'Content-Length: 2000000')}{"messages":"${'x'.repeat(1_000_000)}`,
    );
    await delay(100);
  },
  'vanish before an answer': async (socket, number) => {
    socket.write(streamed(`early-${number}`));
    await delay(20);
  },
  'vanish in the middle of an answer': async (socket, number) => {
    socket.write(streamed(`late-${number % 20}`));
    await firstBytes(socket);
  },
  'read nothing': async (socket, number) => {
    socket.pause();
    socket.write(streamed(`deaf-${number % 20}`));
    await delay(3000);
  },
  'talk nonsense': async (socket) => {
    socket.write(Buffer.from(Array.from({ length: 2000 }, (_, i) => (i * 97) % 256)));
    await firstBytes(socket);
  },
};

async function misbehave(port: number, number: number, misdeed: Misdeed): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  // Whatever happens to it is what it asked for.
  socket.on('error', () => undefined);
  socket.on('data', () => undefined);
  await misdeed(socket, number);
  socket.destroy();
}

/** Bytes of memory that a crowd may leave. */
const mostGrown = 64 << 20;

function files(server: ServerProcess): number {
  return readdirSync(`/proc/${server.child.pid}/fd`).length;
}

function residentBytes(server: ServerProcess): number {
  const status = readFileSync(`/proc/${server.child.pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}

async function isIdle(server: ServerProcess): Promise<boolean> {
  const names = ['stomp_batch_size', 'stomp_request_queue_depth'];
  const values = await Promise.all(names.map((name) => server.metric(name)));
  return values.every((value) => value === 0);
}

describe('clients that', () => {
  it.each(Object.entries(misdeeds))('%s hold nobody up, and leave nothing behind', async (_, misdeed) => {
    const server = await serve(setup);
    await server.turn('ann', 'Hello');
    const port = Number(new URL(server.url).port);
    const filesBefore = onLinux ? files(server) : 0;
    let bytesBefore = 0;
    let grown = Number.POSITIVE_INFINITY;
    // What one crowd made the allocator keep, the next one uses again, unless garbage has not been collected yet: what is
    // left behind shows after every crowd.
    for (let crowd = 0; crowd < 5 && grown >= mostGrown; crowd++) {
      await answered(
        server,
        Promise.all(Array.from({ length: clients }, (_, i) => misbehave(port, i, misdeed))),
      );
      await until(() => isIdle(server), 'nothing runs any more', 60_000);
      if (!onLinux) return;
      await until(() => files(server) <= filesBefore + 8, 'all connections are closed', 60_000);
      const bytes = residentBytes(server);
      grown = bytes - bytesBefore;
      bytesBefore = bytes;
    }
    expect(grown).toBeLessThan(mostGrown);
  });
});

describe('a client that vanishes in the middle of its answer', () => {
  it('has its generation cancelled, whatever protocol it spoke', async () => {
    const model = 'smollm2-135m';
    const server = await serve({ model });
    const ask = {
      model,
      messages: [{ role: 'user', content: 'Tell me more' }],
      max_tokens: 8000,
      stream: true,
    };
    const bodies = {
      '/v1/chat/completions': { ...ask, ignore_eos: true },
      '/v1/completions': { model, prompt: 'More', max_tokens: 8000, stream: true, ignore_eos: true },
      '/v1/messages': ask,
      '/v1/agents/ann/generate': { ...ask, ignore_eos: true },
    };
    for (const [path, body] of Object.entries(bodies)) {
      const gone = new AbortController();
      const response = await fetch(server.url + path, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
        signal: gone.signal,
      });
      await response.body?.getReader().read();
      expect(await server.metric('stomp_batch_size'), path).toBe(1);
      const generated = await server.metric('stomp_tokens_generated_total');
      gone.abort();
      await until(() => isIdle(server), `${path} is cancelled`, 5000);
      // Thousands are left out.
      expect((await server.metric('stomp_tokens_generated_total')) - generated).toBeLessThan(1000);
      expect(
        await server.metric(`stomp_request_total{model="${model}",route="${routeOf(path)}",status="499"}`),
      ).toBe(1);
    }
  });
});

function routeOf(path: string): string {
  return path.replace('/ann/', '/:id/');
}

/** Asks one question after the other until `crowd` is over. */
async function answered(server: ServerProcess, crowd: Promise<unknown>): Promise<void> {
  let ended = false;
  const over = crowd.finally(() => {
    ended = true;
  });
  let answers = 0;
  do {
    const fresh = { message: undefined, messages: [{ role: 'user', content: 'Hello' }], max_tokens: 4 };
    const turn = await server.turn(`good-${answers % 4}`, '', fresh);
    expect(turn.usage.generated_tokens).toBeGreaterThan(0);
    answers++;
    await delay(100);
  } while (!ended);
  await over;
}

describe('a server for other machines', () => {
  const key = 'a-key-of-the-end-to-end-test';

  function keyFile(): string {
    const path = join(temporaryFolder(), 'keys');
    writeFileSync(path, `user ${key} ann\n`, { mode: 0o600 });
    return path;
  }

  it('does not start without keys, and says what is missing', async () => {
    const { code, err } = await stomp('serve', '--host', '0.0.0.0', '--port', '0');
    expect(code).toBe(2);
    expect(err).toContain('add --allow-remote and --api-key-file');
  });

  it('knows its callers, counts them, and keeps their keys out of its log', async () => {
    const path = keyFile();
    const args = ['--host', '0.0.0.0', '--allow-remote', '--api-key-file', path, '--rate-limit-per-key', '3'];
    const server = await serve({ args });
    const port = new URL(server.url).port;
    const ask = (headers: Record<string, string>) => fetch(`http://127.0.0.1:${port}/v1/models`, { headers });
    expect((await ask({})).status).toBe(401);
    const answers = await Promise.all([1, 2, 3, 4].map(() => ask({ authorization: `Bearer ${key}` })));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 200, 429]);

    writeFileSync(path, `user ${key}-2 bob\n`);
    await until(async () => (await ask({ 'x-api-key': `${key}-2` })).status === 200, 'the new key counts');
    expect((await ask({ 'x-api-key': key })).status).toBe(401);
    const { out, err } = await server.stop('SIGTERM');
    expect(out + err).toContain('"key":"ann"');
    expect(out + err).not.toContain(key);
  });
});
