import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { serveStdio } from '../../../ts/mcp/index.js';
import { type OpenGuard, openGuard } from '../guard/open-guard.js';

interface Answer {
  id: number | string | null;
  error?: { code: number; message: string };
  result?: {
    isError?: boolean;
    content?: { type: string; text: string }[];
    structuredContent?: Record<string, unknown>;
    _meta?: Record<string, string>;
    tools?: { name: string; inputSchema: object; annotations: Record<string, unknown> }[];
    serverInfo?: { name: string };
  };
}

/** A client that speaks line by line, and may say what it likes. */
async function connect(guard: OpenGuard) {
  const input = new PassThrough();
  const output = new PassThrough();
  const errors: string[] = [];
  const server = await serveStdio({
    tools: guard.tools,
    input,
    output,
    onError: (error) => errors.push(error.message),
  });
  let text = '';
  output.on('data', (data: Buffer) => (text += data.toString()));
  const answers = () =>
    text
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Answer);
  const write = (line: string) => input.write(`${line}\n`);
  const say = (message: object) => write(JSON.stringify({ jsonrpc: '2.0', ...message }));
  const answer = async (id: number | null, nth = 0): Promise<Answer> => {
    for (let i = 0; i < 500; i++) {
      const found = answers().filter((one) => one.id === id)[nth];
      if (found) return found;
      await sleep(5);
    }
    throw new Error(`no answer to ${id} in: ${text}`);
  };
  const call = (id: number, name: string, args: object = {}, meta?: object) =>
    say({ id, method: 'tools/call', params: { name, arguments: args, ...(meta ? { _meta: meta } : {}) } });
  const params = {
    protocolVersion: '2025-06-18',
    capabilities: {},
    clientInfo: { name: 'Test', version: '1' },
  };
  say({ id: 0, method: 'initialize', params });
  say({ method: 'notifications/initialized' });
  expect((await answer(0)).result?.serverInfo?.name).toBe('stomp-serve');
  return { server, input, output, errors, answers, answer, write, say, call };
}

describe('MCP over two streams', () => {
  it('lists its tools, with what they do to the world', async () => {
    const client = await connect(await openGuard());
    client.say({ id: 1, method: 'tools/list' });
    const tools = (await client.answer(1)).result?.tools ?? [];
    const hints = Object.fromEntries(
      tools.map(({ name, annotations }) => [
        name,
        ['readOnlyHint', 'destructiveHint', 'idempotentHint'].filter((hint) => annotations[hint]).join(' '),
      ]),
    );
    expect(hints).toEqual({
      locks: 'readOnlyHint idempotentHint',
      stomp_stats: 'readOnlyHint idempotentHint',
      docgen_status: 'readOnlyHint idempotentHint',
      lock_acquire: '',
      lock_renew: 'idempotentHint',
      lock_release: 'idempotentHint',
      fs_read: 'readOnlyHint idempotentHint',
      fs_write: 'destructiveHint',
      fs_edit: 'destructiveHint',
      fs_move: 'destructiveHint',
      fs_delete: 'destructiveHint idempotentHint',
      fs_mkdir: 'idempotentHint',
    });
    for (const { inputSchema, annotations } of tools) {
      expect(inputSchema).toMatchObject({ type: 'object', additionalProperties: false });
      expect(annotations['openWorldHint']).toBe(false);
    }
    client.say({ id: 2, method: 'tools/list', params: { cursor: 'x' } });
    expect((await client.answer(2)).error?.code).toBe(-32602);
  });

  it('answers a call in text and in structure, and says for whom it was made', async () => {
    const client = await connect(await openGuard());
    client.call(1, 'fs_write', { path: 'a', content: 'x' }, { agent_id: 'ann' });
    const { result } = await client.answer(1);
    expect(result?.structuredContent).toMatchObject({ bytes: 1 });
    expect(JSON.parse(result?.content?.[0]?.text ?? '')).toEqual(result?.structuredContent);
    expect(result?._meta?.['stomp-serve/agent_id']).toBe('ann');
    client.call(2, 'llmc.locks');
    const second = (await client.answer(2)).result;
    expect(second?.structuredContent).toEqual({ locks: [], waiting: [] });
    expect(second?._meta?.['stomp-serve/agent_id']).toMatch(/^test-/);
    expect(second?._meta?.['stomp-serve/session_id']).toBe(result?._meta?.['stomp-serve/session_id']);
  });

  it('tells errors as results, with the fields of the guard beside the code', async () => {
    const client = await connect(await openGuard());
    client.call(1, 'lock_acquire', { keys: ['code:/a'] }, { agent_id: 'ann', session_id: 'ann-1' });
    await client.answer(1);
    client.call(2, 'lock_acquire', { keys: ['code:/a'] }, { agent_id: 'bob' });
    const { result } = await client.answer(2);
    expect(result?.isError).toBe(true);
    expect(result?.structuredContent).toEqual({
      error: {
        code: 'RESOURCE_BUSY',
        message: expect.stringContaining('ann'),
        resource_key: 'code:/a',
        holder_agent_id: 'ann',
        holder_session_id: 'ann-1',
        wait_ms: expect.any(Number),
        max_wait_ms: 0,
      },
    });
    expect(JSON.parse(result?.content?.[0]?.text ?? '')).toEqual(result?.structuredContent);
    client.call(3, 'lock_acquire', { keys: ['x'] }, { agent_id: 'not a name' });
    expect((await client.answer(3)).result?.structuredContent).toMatchObject({
      error: { code: 'INVALID_REQUEST', field: '_meta.agent_id' },
    });
    client.call(4, 'fs_raed');
    expect((await client.answer(4)).error).toMatchObject({
      code: -32602,
      message: expect.stringContaining('"fs_read"'),
    });
  });

  it('keeps two agents of one connection apart', async () => {
    const client = await connect(await openGuard());
    client.call(1, 'lock_acquire', { keys: ['k'] }, { 'stomp-serve/agent_id': 'ann' });
    await client.answer(1);
    client.call(2, 'lock_acquire', { keys: ['k'], max_wait_ms: 0 }, { 'stomp-serve/agent_id': 'bob' });
    expect((await client.answer(2)).result?.isError).toBe(true);
    client.call(3, 'lock_acquire', { keys: ['k'], max_wait_ms: 0 }, { 'stomp-serve/agent_id': 'ann' });
    expect((await client.answer(3)).result?.isError).toBeUndefined();
  });

  it('takes a call that is cancelled out of the queue, and answers it no more', async () => {
    const guard = await openGuard();
    const client = await connect(guard);
    client.call(1, 'lock_acquire', { keys: ['k'] }, { agent_id: 'ann' });
    await client.answer(1);
    client.call(2, 'lock_acquire', { keys: ['k'], max_wait_ms: 60_000 }, { agent_id: 'bob' });
    for (let i = 0; i < 200 && (await guard.maasl.locks.waiting()).length === 0; i++) await sleep(5);
    expect(await guard.maasl.locks.waiting()).toMatchObject([{ agent_id: 'bob' }]);
    client.say({ method: 'notifications/cancelled', params: { requestId: 2, reason: 'changed my mind' } });
    for (let i = 0; i < 200 && (await guard.maasl.locks.waiting()).length > 0; i++) await sleep(5);
    expect(await guard.maasl.locks.waiting()).toEqual([]);
    client.say({ id: 3, method: 'ping' });
    await client.answer(3);
    expect(client.answers().some(({ id }) => id === 2)).toBe(false);
  });

  it('survives whatever it is sent', async () => {
    const guard = await openGuard({ maxFileBytes: 1000 });
    const client = await connect(guard);
    const { maxRequestBytes } = guard.tools;
    client.write('no JSON');
    client.write('[]');
    client.write('null');
    client.write('[{"jsonrpc":"2.0","id":1,"method":"ping"}]');
    client.write(`${'['.repeat(10_000)}${']'.repeat(10_000)}`);
    client.write('x'.repeat(maxRequestBytes + 1));
    client.write('');
    client.input.write(Buffer.from([0xff, 0xfe, 0x0a]));
    expect(await client.answer(null, 6)).toMatchObject({ error: { code: -32700 } });
    const codes = client.answers().flatMap(({ id, error }) => (id === null ? [error?.code] : []));
    expect(codes).toEqual([-32700, -32600, -32600, -32600, -32600, -32600, -32700]);
    expect(client.errors).toHaveLength(7);
    client.write('{"jsonrpc":"2.0","id":7}');
    expect((await client.answer(7)).error?.code).toBe(-32600);
    client.say({ id: 8, method: 'no/such' });
    expect((await client.answer(8)).error?.code).toBe(-32601);
    client.say({ id: 9, method: 'tools/call', params: { name: 'locks', arguments: 'x' } });
    expect((await client.answer(9)).error).toBeDefined();
    client.say({ id: 10, method: 'tools/call' });
    expect((await client.answer(10)).error).toBeDefined();
    client.say({ id: 11, result: {} });
    client.call(12, 'fs_write', { path: 'a', content: '\n'.repeat(1000) });
    expect((await client.answer(12)).result?.structuredContent).toMatchObject({ bytes: 1000 });
  });

  it('sends nothing that would cost a common client its connection', async () => {
    const guard = await openGuard();
    const client = await connect(guard);
    let id = 0;
    const read = async (content: string) => {
      writeFileSync(join(guard.root, 'a'), content);
      client.call(++id, 'fs_read', { path: 'a' });
      const { result } = await client.answer(id);
      return { ...result, bytes: Buffer.byteLength(JSON.stringify(result)) };
    };
    // Each of them takes twice its bytes in JSON, and twice that in the JSON of a text.
    const short = await read('\n'.repeat(900_000));
    expect(JSON.parse(short.content?.[0]?.text ?? '')).toEqual(short.structuredContent);
    const long = await read('\n'.repeat(2_000_000));
    expect(long.content?.[0]?.text).toMatch(/structuredContent/);
    expect(long.structuredContent).toMatchObject({ bytes: 2_000_000 });
    const tooLong = await read('x'.repeat(9 << 20));
    expect(tooLong.structuredContent).toMatchObject({ error: { code: 'PAYLOAD_TOO_LARGE' } });
    for (const { bytes } of [short, long, tooLong]) expect(bytes).toBeLessThan(10 << 20);
  });

  it('puts together what arrives in pieces', async () => {
    const guard = await openGuard();
    const client = await connect(guard);
    const args = { path: 'ä.txt', content: 'grün' };
    const message = {
      jsonrpc: '2.0',
      id: 1,
      method: 'tools/call',
      params: { name: 'fs_write', arguments: args },
    };
    for (const byte of Buffer.from(`${JSON.stringify(message)}\r\n`)) client.input.write(Buffer.from([byte]));
    await client.answer(1);
    expect(readFileSync(join(guard.root, 'ä.txt'), 'utf8')).toBe('grün');
  });

  it('ends with its input: answers what came before, and gives back every lease', async () => {
    const guard = await openGuard();
    const client = await connect(guard);
    client.call(1, 'lock_acquire', { keys: ['k'], ttl_ms: 600_000 });
    client.call(2, 'lock_acquire', { keys: ['k', 'l'] }, { agent_id: 'ann', session_id: 's' });
    client.call(3, 'lock_acquire', { keys: ['l', 'm'] }, { agent_id: 'ann', session_id: 's' });
    client.call(4, 'fs_write', { path: 'last', content: 'words' });
    client.input.end();
    await client.server.closed;
    expect(
      client
        .answers()
        .map(({ id }) => id)
        .sort(),
    ).toEqual([0, 1, 2, 3, 4]);
    expect(existsSync(join(guard.root, 'last'))).toBe(true);
    expect(await guard.maasl.locks.snapshot()).toEqual([]);
  });

  it('ends at once when it is told, whoever waits', async () => {
    const guard = await openGuard();
    const client = await connect(guard);
    client.call(1, 'lock_acquire', { keys: ['k'] }, { agent_id: 'ann' });
    await client.answer(1);
    client.call(2, 'lock_acquire', { keys: ['k'], max_wait_ms: 60_000 }, { agent_id: 'bob' });
    for (let i = 0; i < 200 && (await guard.maasl.locks.waiting()).length === 0; i++) await sleep(5);
    await client.server.close();
    expect((await client.answer(2)).result?.structuredContent).toMatchObject({
      error: { code: 'CANCELLED' },
    });
    expect(await guard.maasl.locks.waiting()).toEqual([]);
    expect(await guard.maasl.locks.snapshot()).toEqual([]);
  });

  it('ends when nobody reads its answers any more', async () => {
    const guard = await openGuard();
    const client = await connect(guard);
    client.output.destroy();
    await client.server.closed;
  });
});
