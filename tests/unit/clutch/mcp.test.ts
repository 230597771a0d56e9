import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type McpServer, mcpTools } from '../../../ts/clutch/tools/mcp.js';
import type { ToolSource } from '../../../ts/clutch/tools/run-tool.js';
import { McpHttp } from '../../../ts/mcp/index.js';
import { call, named, openScope } from './tool-scope.js';

const script = fileURLToPath(new URL('mcp-server.mjs', import.meta.url));
const sources: ToolSource[] = [];
const ends: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  vi.unstubAllEnvs();
  for (const source of sources.splice(0)) await source.close();
  for (const end of ends.splice(0)) await end();
});

async function connect(connection: McpServer['connection'], more: Partial<McpServer> = {}) {
  const source = await mcpTools({ name: 'box', connection, ...more });
  sources.push(source);
  return source;
}

const overStdio = (more: Partial<McpServer> = {}) =>
  connect({ kind: 'stdio', command: process.execPath, args: [script], env: { OWN_KEY: 'given' } }, more);

describe('a server over stdio', () => {
  it('has its tools under its name, writing unless they say that they only look', async () => {
    const { tools } = await overStdio();
    const { scope } = await openScope();
    expect(named(tools, 'box__look').kind).toBe('read');
    expect(named(tools, 'box__env').kind).toBe('write');
    expect(named(tools, 'box__look').parameters).toMatchObject({ required: ['at'] });
    expect(tools.every(({ name }) => /^[A-Za-z0-9_-]{1,64}$/.test(name))).toBe(true);
    expect(await call(named(tools, 'box__look'), { at: 'x' }, scope)).toEqual({
      output: 'seen: x',
      failed: false,
    });
    const long = tools.find(({ name }) => name.startsWith('box__dots_and_'));
    expect(await long?.run({}, scope)).toMatchObject({ output: 'long' });
  });

  it('tells what went wrong as an outcome, and what it does not understand', async () => {
    const { tools } = await overStdio();
    const { scope } = await openScope();
    expect(await call(named(tools, 'box__fail'), {}, scope)).toEqual({
      output: 'it went wrong',
      failed: true,
    });
    expect(await call(named(tools, 'box__look'), { at: 1 }, scope)).toMatchObject({ failed: true });
    await expect(named(tools, 'box__look').prepare([], scope)).rejects.toMatchObject({
      code: 'INVALID_REQUEST',
    });
  });

  it('that does not answer in time is waited for no longer', async () => {
    const { tools } = await overStdio({ timeoutMs: 100 });
    const { scope } = await openScope();
    expect(await call(named(tools, 'box__hang'), {}, scope)).toMatchObject({ failed: true });
  });

  it('gets the environment of a run and what it is given, and nothing else', async () => {
    vi.stubEnv('OPENAI_API_KEY', 'planted');
    const { tools } = await overStdio();
    const { output } = await call(named(tools, 'box__env'), {}, (await openScope()).scope);
    expect(output).toContain('"OWN_KEY":"given"');
    expect(output).not.toContain('planted');
  });

  it('ends with its source', async () => {
    const source = await overStdio();
    const { scope } = await openScope();
    const pid = Number((await call(named(source.tools, 'box__pid'), {}, scope)).output);
    expect(process.kill(pid, 0)).toBe(true);
    await source.close();
    await expect
      .poll(() => {
        try {
          return process.kill(pid, 0);
        } catch {
          return false;
        }
      })
      .toBe(false);
    expect(await call(named(source.tools, 'box__pid'), {}, scope)).toMatchObject({ failed: true });
  });

  it('is let go of when the run is aborted', async () => {
    const { tools } = await overStdio();
    const abort = new AbortController();
    const { scope } = await openScope(abort.signal);
    const hanging = expect(call(named(tools, 'box__hang'), {}, scope)).rejects.toMatchObject({
      code: 'CANCELLED',
    });
    abort.abort();
    await hanging;
  });

  it('that does not start is named', async () => {
    const broken = connect({ kind: 'stdio', command: process.execPath, args: ['-e', 'process.exit(1)'] });
    await expect(broken).rejects.toMatchObject({ code: 'PROVIDER_FAILED', fields: { server: 'box' } });
  });
});

it('works over Streamable HTTP as well', async () => {
  const guard = await openScope();
  const mcp = new McpHttp({ tools: guard.tools });
  const server: Server = createServer(async (request, response) => {
    await mcp.handle(request, response, request.method === 'POST' ? await json(request) : undefined);
  });
  ends.push(async () => {
    await mcp.close();
    server.closeAllConnections();
    server.close();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const { tools } = await connect({ kind: 'http', url: `http://127.0.0.1:${port}/` });
  const read = named(tools, 'box__fs_read');
  expect(read.kind).toBe('read');
  expect(await call(read, { path: 'none.txt' }, guard.scope)).toMatchObject({
    failed: true,
    output: expect.stringContaining('NOT_FOUND'),
  });
});
