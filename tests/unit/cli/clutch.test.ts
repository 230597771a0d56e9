/** Runs from a command line, at a server that runs. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { changes } from '../../../ts/cli/clutch/editor.js';
import { printable } from '../../../ts/cli/clutch/views.js';
import { run as stompServe } from '../../../ts/cli/run.js';
import { RunAudit } from '../../../ts/clutch/audit/run-audit.js';
import { start } from '../serve/harness.js';
import { TestClutch } from '../serve/test-clutch.js';

const token = 'bm90LWEtcmVhbC10b2tlbi1qdXN0LWEtdGVzdC0xMjM';
afterEach(() => vi.unstubAllEnvs());

async function open() {
  const clutch = await TestClutch.open();
  const { port } = await start({ clutch, approverToken: token });
  vi.stubEnv('STOMP_APPROVER_TOKEN', token);
  vi.stubEnv('STOMP_DATABASE', join(clutch.folder, 'other.db'));
  const stomp = async (...args: string[]) => {
    let out = '';
    let err = '';
    const code = await stompServe([...args, '--port', String(port)], {
      stdout: { write: (text) => (out += text) },
      stderr: { write: (text) => (err += text) },
    });
    return { code, out, err };
  };
  const run = await clutch.start({ prompt: 'x' });
  return { clutch, stomp, run };
}

describe('approvals', () => {
  it('are listed with all that would happen', async () => {
    const { clutch, stomp, run } = await open();
    expect((await stomp('approvals')).out).toBe('Nothing waits.\n');
    const { id } = await clutch.open(run, { payload: { script: 'make\nmake test', timeout_s: 5 } });
    const { code, out } = await stomp('approvals');
    expect(code).toBe(0);
    expect(out).toContain(`${id}  pending, revision 1`);
    expect(out).toContain('    make\n    make test');
    expect(JSON.parse((await stomp('approvals', '--json')).out)).toMatchObject({ data: [{ id }] });
  });

  it('are approved as they are, or edited, by field and from files', async () => {
    const { clutch, stomp, run } = await open();
    const payload = { script: 'make', timeout_s: 5, note: '' };
    const { id } = await clutch.open(run, { payload });
    const file = join(clutch.folder, 'script');
    writeFileSync(file, 'make test\n');
    expect((await stomp('approve', id, '--edit', 'timeout_s=soon')).code).toBe(2);
    const edits = ['--edit', 'timeout_s=7', '--edit', 'note=a=b', '--edit-file', `script=${file}`];
    expect(await stomp('approve', id, ...edits, '--remember')).toMatchObject({ code: 0, err: '' });
    expect(await clutch.gates.get(id)).toMatchObject({
      status: 'edited',
      payload: { script: 'make test\n', timeout_s: 7, note: 'a=b' },
    });
    expect(await clutch.gates.rules(run.id)).toHaveLength(1);
    expect(await stomp('approve', id)).toMatchObject({
      code: 1,
      err: expect.stringContaining('edited already'),
    });
  });

  it('are rejected with a reason; without the token nothing is decided', async () => {
    const { clutch, stomp, run } = await open();
    const { id } = await clutch.open(run);
    vi.stubEnv('STOMP_APPROVER_TOKEN', '');
    const refused = await stomp('reject', id, '--reason', 'no');
    expect(refused).toMatchObject({ code: 1, err: expect.stringContaining('approver token') });
    const file = join(clutch.folder, 'token');
    writeFileSync(file, `${token}\n`);
    expect((await stomp('reject', id, '--reason', 'no', '--approver-token-file', file)).code).toBe(0);
    expect(await clutch.gates.get(id)).toMatchObject({ status: 'rejected', reason: 'no' });
  });
});

describe('a run', () => {
  it('is followed to its end, and says how to decide where nobody sits', async () => {
    const { clutch, stomp } = await open();
    const following = stomp('run', 'Build it', '--gate', 'none', '--base-dir', clutch.folder);
    await expect.poll(async () => (await clutch.runs()).length).toBe(2);
    const [run] = await clutch.runs();
    if (!run) throw new Error('There is none.');
    expect(run.request).toMatchObject({ prompt: 'Build it', gate: 'none', baseDir: clutch.folder });
    await clutch.say(run, 'It \u001b[2Jrains.');
    const { id } = await clutch.open(run);
    await clutch.end(run, 'It rains.');
    const { code, out, err } = await following;
    expect(code).toBe(0);
    expect(out).toContain('It \ufffd[2Jrains.');
    expect(out).toContain(id);
    if (!process.stdin.isTTY) expect(err).toContain(`stomp-serve approve ${id}`);
  });

  it('fails with its exit code, or is left to itself', async () => {
    const { clutch, stomp } = await open();
    const { code, out } = await stomp('run', 'Build it', '--detach', '--base-dir', clutch.folder);
    expect(code).toBe(0);
    const following = stomp('run', 'Another', '--base-dir', clutch.folder);
    await expect.poll(async () => (await clutch.runs()).length).toBe(3);
    const [newest] = await clutch.runs();
    expect(newest?.id).not.toBe(out.trim());
    await clutch.abort(newest?.id ?? '', 'eve');
    expect((await following).code).toBe(1);
  });
});

it('audit verify tells whether it is whole', async () => {
  const { clutch, stomp: _ } = await open();
  const folder = join(clutch.folder, 'audit', 's1');
  mkdirSync(folder, { recursive: true });
  const audit = RunAudit.open({ folder });
  audit.http({ method: 'GET' });
  audit.http({ method: 'POST' });
  await audit.close();
  const verify = async (path: string) => {
    let out = '';
    const write = (text: string) => (out += text);
    const code = await stompServe(['audit', 'verify', path], { stdout: { write }, stderr: { write } });
    return { code, out };
  };
  expect(await verify(folder)).toEqual({ code: 0, out: '2 entries, all as they were written\n' });
  writeFileSync(join(folder, 'http.jsonl'), '{"changed":true}\n');
  expect((await verify(folder)).code).not.toBe(0);
  for (const path of [join(clutch.folder, 'none'), join(folder, 'http.jsonl')]) {
    expect(await verify(path)).toEqual({
      code: 2,
      out: expect.stringContaining('holds no audit: name the folder'),
    });
  }
});

it('an edit in an editor is what was changed, and nothing else', () => {
  expect(changes({ a: 1, b: 'x' }, '{"a": 2, "b": "x"}')).toEqual({ a: 2 });
  expect(() => changes({ a: 1 }, '{"a": ')).toThrow(/nothing is decided/);
});

it('what a model wrote moves no cursor', () => {
  expect(printable('a\u001b[31m\u202eb\tc\nd\u0007')).toBe('a\ufffd[31m\ufffdb\tc\nd\ufffd');
});
