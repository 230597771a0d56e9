/** Servers in processes of their own, with a repository and without: over HTTP, and MCP over standard input and output. */
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import type { CallToolResult } from '@modelcontextprotocol/sdk/types.js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { newFolder, TestRepository } from '../integration/reservations/repositories.js';
import { main, serve, stomp } from './server-process.js';

const clients: Client[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) await client.close();
});

let repository: TestRepository;
beforeEach(() => {
  repository = new TestRepository();
  repository.commit({
    'src/tax.py': 'def rate():\n    return 0.19\n',
    'src/shop.py': 'from src.tax import rate\n\n\ndef total(net):\n    return net * rate()\n',
  });
});

async function mcp(cwd: string, ...args: string[]) {
  const client = new Client({ name: 'Test Client', version: '1' });
  const transport = new StdioClientTransport({
    command: process.execPath,
    args: [main, 'mcp', ...args],
    cwd,
    env: { HOME: newFolder(), PATH: process.env['PATH'] ?? '' },
    stderr: 'pipe',
  });
  let err = '';
  transport.stderr?.on('data', (data: Buffer) => (err += data.toString()));
  clients.push(client);
  await client.connect(transport);
  const call = async (name: string, args: Record<string, unknown> = {}) =>
    (await client.callTool({ name, arguments: args }, undefined, { timeout: 120_000 })) as CallToolResult;
  return { client, call, log: () => err };
}

describe('in a repository', () => {
  it('agents on a server and on MCP of their own are told what they are about to do to each other', async () => {
    const server = await serve({ args: ['--repository', repository.folder] });
    const bob = await mcp(repository.folder);
    const wish = { addresses: ['src/tax.py::rate'], branch: 'feat/ann', lock: false };
    const made = await server.post('/v1/reservations', wish, { 'x-agent-id': 'ann' });
    expect(made.status).toBe(201);
    const reserved = await bob.call('reserve_symbols', {
      addresses: ['src/shop.py::total'],
      run_id: 'bob',
      branch: 'feat/bob',
      forecast: true,
    });
    const meeting = {
      conflict_type: 'blast_radius_overlap',
      call_path: ['src/shop.py::total', 'src/tax.py::rate'],
    };
    expect(reserved.structuredContent).toMatchObject({ conflicts: [meeting] });
    expect(await server.json('/v1/forecast')).toMatchObject({ conflicts: [meeting] });
    const { out, code } = await server.stop('SIGTERM');
    expect([code, out]).toEqual([0, expect.stringContaining('Ready.')]);
  });

  it('a server that is told to stop waits for nobody who waits', async () => {
    const server = await serve({ args: ['--repository', repository.folder] });
    const wish = { addresses: ['src/tax.py'], branch: 'main' };
    await server.post('/v1/reservations', { ...wish, run_id: 'ann' });
    const waiting = server.post('/v1/reservations/await', { ...wish, run_id: 'bob' });
    // Asked after it, on a connection of its own: by its answer the wait has begun.
    await server.json('/v1/forecast');
    const began = performance.now();
    await server.stop('SIGTERM');
    expect(performance.now() - began).toBeLessThan(10_000);
    expect((await waiting).status).toBe(503);
  });
});

describe('where there is no repository', () => {
  it('a server starts, says so, and answers how to name one', async () => {
    const server = await serve();
    expect(server.out).toMatch(/symbols .*no git repository there/);
    for (const path of ['/v1/reservations', '/v1/intents', '/v1/forecast', '/v1/merge-plan']) {
      const { error } = await server.json<{ error: { code: string; message: string } }>(path);
      expect([path, error.code, error.message]).toEqual([
        path,
        'NOT_A_REPOSITORY',
        expect.stringContaining('--repository'),
      ]);
    }
    const { data } = await server.json<{ data: { name: string }[] }>('/v1/tools');
    expect(data.map(({ name }) => name)).toContain('fs_edit');
    expect(data.map(({ name }) => name)).not.toContain('reserve_symbols');
  });

  it('MCP offers the other tools, and its log says why not these', async () => {
    const { client, log } = await mcp(newFolder());
    const names = (await client.listTools()).tools.map(({ name }) => name);
    expect(names).toContain('fs_edit');
    expect(names).not.toContain('reserve_symbols');
    expect(log()).toContain('--repository');
  });

  it.each(['serve', 'mcp'])('%s does not start with one that was named', async (command) => {
    const { code, err } = await stomp(command, '--repository', newFolder());
    expect(code).not.toBe(0);
    expect(err).toMatch(/in no git repository/);
  });
});
