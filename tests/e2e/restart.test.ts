/** What survives the end of a server, however it ends, and what a second server is told. */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import {
  type AgentBody,
  ServerProcess,
  type ServerSetup,
  StompProcess,
  serve,
  stomp,
  temporaryFolder,
  tinyModel,
  until,
} from './server-process.js';

const exact: ServerSetup = { args: ['--numerics', 'exact'] };
const questions = ['Tell me about the sea', 'And about the wind', 'And what else'];

async function saved(server: ServerProcess, agent: string): Promise<void> {
  await until(async () => (await server.json<AgentBody>(`/v1/agents/${agent}`)).saved, `${agent} is on disk`);
}

describe('a conversation', () => {
  it('goes on after kill -9 as if nothing had happened', async () => {
    const unbroken = await serve(exact);
    const expected: string[] = [];
    for (const question of questions) expected.push((await unbroken.turn('ann', question)).text);
    await unbroken.stop('SIGINT');

    const first = await serve(exact);
    const told: string[] = [];
    for (const question of questions.slice(0, 2)) told.push((await first.turn('ann', question)).text);
    await saved(first, 'ann');
    expect((await first.stop('SIGKILL')).code).toBeNull();

    const second = await serve({ ...exact, cacheDir: first.cacheDir });
    expect(second.out).toContain('1 agent from before');
    const last = await second.turn('ann', questions[2] ?? '');
    expect([...told, last.text]).toEqual(expected);
    expect(last.usage.restored_tokens).toBeGreaterThan(0);
    expect(last.usage.computed_tokens).toBeLessThan(last.usage.prompt_tokens / 2);
  });

  it('is saved by Ctrl-C', async () => {
    const first = await serve();
    const { usage } = await first.turn('ann', questions[0] ?? '');
    const { code, err } = await first.stop('SIGINT');
    expect(code).toBe(0);
    expect(err).toContain('Every agent is saved.');
    const second = await serve({ cacheDir: first.cacheDir });
    const again = await second.turn('ann', questions[1] ?? '');
    expect(again.usage.restored_tokens).toBeGreaterThanOrEqual(usage.prompt_tokens);
  });

  it('that is running when the server is told to stop is finished first', async () => {
    const server = await serve();
    const body = { message: 'Go', stream: true, ignore_eos: true, max_tokens: 200 };
    const response = await server.post('/v1/agents/ann/generate', body);
    server.child.kill('SIGTERM');
    expect(await response.text()).toContain('[DONE]');
    expect((await server.finished()).code).toBe(0);
  });

  it('is cut short by a second signal, and its completed turns are kept', async () => {
    const first = await serve({ args: ['--shutdown-timeout-seconds', '60'] });
    await first.turn('ann', questions[0] ?? '');
    const body = { prompt: 'Go', stream: true, ignore_eos: true };
    const running = await Promise.all(
      Array.from({ length: 16 }, (_, i) => first.post(`/v1/agents/busy-${i}/generate`, body)),
    );
    first.child.kill('SIGINT');
    await until(() => first.err.includes('once more stops at once'), 'the first signal is understood');
    first.child.kill('SIGINT');
    await Promise.all(running.map((response) => response.text()));
    expect((await first.finished()).code).toBe(0);
    const second = await serve({ cacheDir: first.cacheDir });
    expect((await second.turn('ann', questions[1] ?? '')).usage.restored_tokens).toBeGreaterThan(0);
  });
});

describe('a second server', () => {
  it('on the same port is told to take another', async () => {
    const first = await serve();
    const port = new URL(first.url).port;
    const { code, err } = await stomp('--port', port, '--model', tinyModel, '--cache-dir', temporaryFolder());
    expect(code).toBe(1);
    expect(err).toContain(`Port ${port} on 127.0.0.1 is taken`);
  });

  it('on the same cache folder is refused, and the first goes on', async () => {
    const first = await serve();
    await first.turn('ann', 'Hello');
    const { code, err } = await stomp('--port', '0', '--model', tinyModel, '--cache-dir', first.cacheDir);
    expect(code).toBe(1);
    expect(err).toContain(first.cacheDir);
    expect(err).toMatch(/in use/i);
    expect((await first.turn('ann', 'Still there?')).usage.own_tokens).toBeGreaterThan(0);
  });

  it('may have the folder when the first was killed', async () => {
    const first = await serve();
    await first.stop('SIGKILL');
    const second = await serve({ cacheDir: first.cacheDir });
    expect((await second.turn('ann', 'Hello')).text).toBeTypeOf('string');
  });
});

describe('a server that cannot start', () => {
  it('says so for a model that is not one', async () => {
    const { code, err } = await stomp(
      '--port',
      '0',
      '--model',
      import.meta.filename,
      '--cache-dir',
      temporaryFolder(),
    );
    expect(code).toBe(1);
    expect(err).toContain(import.meta.filename);
    expect(err).not.toContain('    at ');
  });

  it('ends on a signal while it is starting', async () => {
    const server = new ServerProcess();
    await until(() => server.err.includes('listening'), 'it listens');
    const { code, signal } = await stopped(server);
    expect([0, 130]).toContain(code);
    expect(signal).toBeNull();
  });
});

it('the list of agents needs no server', async () => {
  const server = await serve();
  await server.turn('Ann', 'Hello');
  await server.turn('ann', 'Hello');
  const running = await stomp('agents', '--port', new URL(server.url).port);
  expect(running.out).toMatch(/^Ann +hot /m);
  await server.stop('SIGINT');
  const { port, close } = await unusedPort();
  close();
  const { out } = await stomp('agents', '--port', String(port), '--cache-dir', server.cacheDir);
  expect(out).toMatch(/^Ann +\S.* +\d+ +\d/m);
  expect(out).toMatch(/^ann +\S.* +\d+ +\d/m);
});

it('the doctor finds this machine fit', async () => {
  const { code, out } = await new StompProcess([
    'doctor',
    '--model',
    tinyModel,
    '--cache-dir',
    temporaryFolder(),
  ]).finished();
  expect(out).toMatch(/^ok +addon /m);
  expect(out).toMatch(/^ok +cpu /m);
  expect(out).toContain('Ready to serve.');
  expect(code).toBe(0);
});

async function stopped(
  server: ServerProcess,
): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
  const { code } = await server.stop('SIGINT');
  return { code, signal: server.child.signalCode };
}

async function unusedPort(): Promise<{ port: number; close: () => void }> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  return { port: (probe.address() as AddressInfo).port, close: () => probe.close() };
}
