import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { run } from '../../../ts/cli/run.js';
import { parseKeyFile } from '../../../ts/serve/access/key-file.js';
import { KeyRing } from '../../../ts/serve/access/keys.js';
import { start } from '../serve/harness.js';

const folder = mkdtempSync(join(tmpdir(), 'stomp-keys-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function stomp(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  let out = '';
  let err = '';
  const code = await run(args, {
    stdout: { write: (text) => (out += text) },
    stderr: { write: (text) => (err += text) },
  });
  return { code, out, err };
}

describe('keys new', () => {
  it.each([
    [[], { role: 'user' }],
    [['ann'], { role: 'user', name: 'ann' }],
    [['--role', 'approver', 'bob'], { role: 'approver', name: 'bob' }],
  ])('with %j writes a line that a key file takes, and nothing else', async (args, expected) => {
    const { code, out, err } = await stomp('keys', 'new', ...args);
    expect(code).toBe(0);
    expect(out.split('\n')).toHaveLength(2);
    const [entry] = parseKeyFile(out, 'keys');
    expect(entry).toEqual({ ...expected, key: expect.stringMatching(/^stomp_[\w-]{43}$/) });
    expect(err).not.toContain(entry?.key);
  });

  it('writes another one each time', async () => {
    expect((await stomp('keys', 'new')).out).not.toBe((await stomp('keys', 'new')).out);
  });
});

describe('agents', () => {
  it('are asked of a server with keys by a key of its file', async () => {
    const path = join(folder, 'keys');
    const key = 'a-key-that-is-long-enough';
    writeFileSync(path, `# team\nuser ${key} ann\n`, { mode: 0o600 });
    const { post, port } = await start({ keys: new KeyRing([{ role: 'user', key }]) });
    await post('/v1/agents/ann/generate', { message: 'Hi' }, { 'x-api-key': key });
    const where = ['--port', String(port)];
    const without = await stomp('agents', ...where);
    expect(without).toMatchObject({ code: 1, err: expect.stringContaining('--api-key-file') });
    const found = await stomp('agents', ...where, '--api-key-file', path, '--host', '0.0.0.0');
    expect(found).toMatchObject({ code: 0, out: expect.stringMatching(/^ann /m) });
  });
});
