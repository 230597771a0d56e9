/** MCP servers in processes of their own, over standard input and output, as clients start them. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import type { CallToolResult } from '@modelcontextprotocol/sdk/types.js';
import { afterEach, describe, expect, it } from 'vitest';
import { main, temporaryFolder, until } from './server-process.js';

const clients: Client[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) await client.close();
});

/** A folder to work in, and a home that holds the default database. */
function place(): { cwd: string; env: Record<string, string> } {
  const folder = temporaryFolder();
  const [cwd, home] = [join(folder, 'work'), join(folder, 'home')];
  mkdirSync(cwd);
  mkdirSync(home);
  return { cwd, env: { HOME: home, PATH: process.env['PATH'] ?? '' } };
}

async function connect({ cwd, env }: ReturnType<typeof place>, args: string[] = []) {
  const client = new Client({ name: 'Test Client', version: '1' });
  const transport = new StdioClientTransport({
    command: process.execPath,
    args: [main, 'mcp', ...args],
    cwd,
    env,
    stderr: 'ignore',
  });
  clients.push(client);
  await client.connect(transport);
  const call = async (name: string, args: Record<string, unknown> = {}) =>
    (await client.callTool({ name, arguments: args }, undefined, { timeout: 120_000 })) as CallToolResult & {
      structuredContent: Record<string, unknown> & { error?: Record<string, unknown> };
    };
  return { client, call, pid: transport.pid ?? 0 };
}

interface Leases {
  leases: { resource_key: string; fencing_token: string }[];
}

describe('two servers over standard input and output', () => {
  it('guard one folder by one database, with no settings at all', async () => {
    const folder = place();
    const [one, two] = [await connect(folder), await connect(folder)];
    expect((await one.client.listTools()).tools.map(({ name }) => name)).toContain('fs_edit');
    await one.call('fs_write', { path: 'a.txt', content: 'one' });
    expect(readFileSync(join(folder.cwd, 'a.txt'), 'utf8')).toBe('one');
    const resources = [{ resource_class: 'CRIT_CODE', identifier: 'a.txt' }];
    const { leases } = (await one.call('lock_acquire', { resources })).structuredContent as unknown as Leases;
    const busy = await two.call('fs_write', { path: 'a.txt', content: 'two', max_wait_ms: 0 });
    expect(busy.isError).toBe(true);
    expect(busy.structuredContent.error).toMatchObject({
      code: 'RESOURCE_BUSY',
      holder_agent_id: expect.stringMatching(/^test-client-/),
    });
    await one.call('lock_release', { leases });
    expect((await two.call('fs_write', { path: 'a.txt', content: 'two' })).isError).toBeUndefined();
    expect((await two.call('fs_read', { path: '../home' })).structuredContent.error?.['code']).toBe(
      'PATH_DENIED',
    );
  });

  it('hand over when the client of one has gone', async () => {
    const folder = place();
    const [one, two] = [await connect(folder), await connect(folder)];
    await one.call('lock_acquire', { keys: ['k'], ttl_ms: 3_600_000 });
    const waiting = two.call('lock_acquire', { keys: ['k'], max_wait_ms: 60_000 });
    await until(async () => {
      const { locks } = (await two.call('locks')).structuredContent as { locks?: { waiters: number }[] };
      return locks?.[0]?.waiters === 1;
    }, 'the second waits');
    await one.client.close();
    expect((await waiting).isError).toBeUndefined();
  });

  it('hand over after the time to live when one is killed', async () => {
    const folder = place();
    const [one, two] = [await connect(folder), await connect(folder)];
    const resources = [{ resource_class: 'CRIT_CODE', identifier: 'a.txt' }];
    const held = (await one.call('lock_acquire', { resources, ttl_ms: 3000 })).structuredContent;
    process.kill(one.pid, 'SIGKILL');
    expect((await two.call('lock_acquire', { resources, max_wait_ms: 0 })).isError).toBe(true);
    const taken = (await two.call('lock_acquire', { resources, max_wait_ms: 60_000 })).structuredContent;
    const token = (body: unknown) => BigInt((body as Leases).leases[0]?.fencing_token ?? 0);
    expect(token(taken)).toBeGreaterThan(token(held));
    expect((await two.call('fs_write', { path: 'a.txt', content: 'two' })).isError).toBeUndefined();
  });
});

it('three clients in processes of their own lose no increment', async () => {
  const folder = place();
  const files = ['a.txt', 'b.txt', 'c.txt'];
  for (const file of files) writeFileSync(join(folder.cwd, file), '0');
  const script = join(import.meta.dirname, 'mcp-counter.js');
  const args = [script, main, join(folder.cwd, '..', 'stomp.db'), '20', ...files];
  const runs = [1, 2, 3].map(() => promisify(execFile)(process.execPath, args, { cwd: folder.cwd }));
  const done = (await Promise.all(runs)).map(({ stdout }) => JSON.parse(stdout) as Record<string, number>);
  for (const file of files) {
    const total = done.reduce((sum, one) => sum + (one[file] ?? 0), 0);
    expect(Number(readFileSync(join(folder.cwd, file), 'utf8'))).toBe(total);
    expect(total).toBeGreaterThanOrEqual(30); // half of the rounds wait for a lock and must succeed
  }
});

describe('the process', () => {
  function start(args: string[] = []) {
    const { cwd, env } = place();
    const child = spawn(process.execPath, [main, 'mcp', ...args], { cwd, env });
    let out = '';
    let err = '';
    child.stdout.on('data', (data: Buffer) => (out += data.toString()));
    child.stderr.on('data', (data: Buffer) => (err += data.toString()));
    const ended = once(child, 'close').then(([code, signal]) => ({ code, signal }));
    const say = (message: object) => child.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
    const params = {
      protocolVersion: '2025-06-18',
      capabilities: {},
      clientInfo: { name: 'x', version: '1' },
    };
    say({ id: 0, method: 'initialize', params });
    say({ method: 'notifications/initialized' });
    const answers = () =>
      out
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line) as { id: unknown });
    const answered = (id: number) =>
      until(() => answers().some((one) => one.id === id), `an answer to ${id}`);
    return { child, ended, say, answers, answered, log: () => err };
  }

  it('ends with its input, with exit code 0 and answers to what came before', async () => {
    const { child, ended, say, answers } = start();
    say({ id: 1, method: 'tools/call', params: { name: 'fs_write', arguments: { path: 'a', content: '' } } });
    say({ id: 2, method: 'tools/list' });
    child.stdin.end();
    expect(await ended).toEqual({ code: 0, signal: null });
    expect(answers().map(({ id }) => id)).toEqual(expect.arrayContaining([0, 1, 2]));
  });

  it.each(['SIGTERM', 'SIGINT'] as const)(
    'ends with exit code 0 on %s, also while a call waits',
    async (signal) => {
      const { child, ended, say, answered } = start();
      const acquire = (id: number, agent_id: string) => {
        const args = { keys: ['k'], max_wait_ms: 3_600_000 };
        say({
          id,
          method: 'tools/call',
          params: { name: 'lock_acquire', arguments: args, _meta: { agent_id } },
        });
      };
      acquire(1, 'ann');
      await answered(1);
      acquire(2, 'bob');
      say({ id: 3, method: 'ping' });
      await answered(3);
      child.kill(signal);
      expect(await ended).toEqual({ code: 0, signal: null });
    },
  );

  it('says nothing but the protocol on its output, whatever it is sent and however much it logs', async () => {
    const { child, ended, say, answers, answered, log } = start(['--log-level', 'trace']);
    child.stdin.write('garbage\n[]\n\0\n{"jsonrpc":"2.0","id":{}}\n');
    say({ id: 1, method: 'tools/call', params: { name: 'fs_mkdir', arguments: { path: 'sub' } } });
    await answered(1);
    child.stdin.end();
    expect((await ended).code).toBe(0);
    for (const answer of answers()) expect(answer).toHaveProperty('jsonrpc', '2.0');
    const events = log()
      .split('\n')
      .filter(Boolean)
      .map((line) => (JSON.parse(line) as { msg: string }).msg);
    expect(events).toEqual(expect.arrayContaining(['ready', 'lock_acquired', 'stomp_guard_call']));
  });

  it('loads neither the engine nor its addon', async () => {
    const { cwd, env } = place();
    const report = join(cwd, '..', 'loaded.txt');
    const hooks = `
      import { appendFileSync } from 'node:fs';
      export async function load(url, context, next) {
        appendFileSync(${JSON.stringify(report)}, url + '\\n');
        return next(url, context);
      }`;
    const register = `
      import { register } from 'node:module';
      import { appendFileSync } from 'node:fs';
      register(${JSON.stringify(`data:text/javascript,${encodeURIComponent(hooks)}`)});
      process.on('exit', () => {
        for (const path of process.report.getReport().sharedObjects)
          appendFileSync(${JSON.stringify(report)}, path + '\\n');
      });`;
    const setup = join(cwd, '..', 'register.mjs');
    writeFileSync(setup, register);
    const client = new Client({ name: 'x', version: '1' });
    const args = ['--import', setup, main, 'mcp'];
    await client.connect(
      new StdioClientTransport({ command: process.execPath, args, cwd, env, stderr: 'ignore' }),
    );
    await client.callTool({ name: 'fs_write', arguments: { path: 'a', content: '' } });
    await client.close();
    const loaded = readFileSync(report, 'utf8').split('\n');
    expect(loaded.some((path) => path.endsWith('/dist/mcp/session.js'))).toBe(true);
    expect(loaded.some((path) => path.includes('better_sqlite3.node'))).toBe(true);
    const heavy =
      /dist\/native|dist\/engine\/(?!agent-id)|dist\/serve\/|stomp_serve\.node|libstomp|fastify|prom-client/;
    expect(loaded.filter((path) => heavy.test(path))).toEqual([]);
  });
});
