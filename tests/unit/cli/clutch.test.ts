/** Runs from a command line, at a server that runs. */
import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { ClutchClient } from '../../../ts/cli/clutch/client.js';
import { changes } from '../../../ts/cli/clutch/editor.js';
import { printable } from '../../../ts/cli/clutch/views.js';
import { run as stompServe } from '../../../ts/cli/run.js';
import { RunAudit } from '../../../ts/clutch/audit/run-audit.js';
import { parseArguments, resolveSettings } from '../../../ts/config/index.js';
import { StompError } from '../../../ts/errors.js';
import { KeyRing } from '../../../ts/serve/access/keys.js';
import { start } from '../serve/harness.js';
import { TestClutch } from '../serve/test-clutch.js';

const token = 'bm90LWEtcmVhbC10b2tlbi1qdXN0LWEtdGVzdC0xMjM';
afterEach(() => vi.unstubAllEnvs());

async function open() {
  const clutch = await TestClutch.open();
  const { port } = await start({ clutch, approverToken: token });
  vi.stubEnv('STOMP_APPROVER_TOKEN', token);
  vi.stubEnv('STOMP_DATABASE', join(clutch.folder, 'other.db'));
  const stomp = (...args: string[]) => stompAt(port, ...args);
  const run = await clutch.start({ prompt: 'x' });
  return { clutch, stomp, port, run };
}

async function stompAt(port: number, ...args: string[]) {
  let out = '';
  let err = '';
  const code = await stompServe([...args, '--port', String(port)], {
    stdout: { write: (text) => (out += text) },
    stderr: { write: (text) => (err += text) },
  });
  return { code, out, err };
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

  it('are listed with those first that wait, however many were decided before', async () => {
    const { clutch, stomp, run } = await open();
    for (let n = 0; n < 101; n++) {
      clutch.now++;
      const { id, revision } = await clutch.open(run, { id: `gate-${n}` });
      await clutch.gates.decide(id, { decision: 'reject', revision, by: 'eve' });
    }
    for (let n = 0; n < 101; n++) await clutch.open(run, { id: `waits-${n}` });
    const { out } = await stomp('approvals', '--all');
    expect(out).toMatch(/^waits-0 {2}pending/);
    expect(out).toContain('gate-100  rejected');
    expect((await stomp('approvals')).out).toContain('waits-100  pending');
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

  it('that cannot be approved as it was typed say what to type', async () => {
    const { clutch, stomp, run } = await open();
    const { id } = await clutch.open(run);
    for (const flag of ['--edit', '--edit-file'])
      expect(await stomp('approve', id, flag, 'ls')).toMatchObject({
        code: 2,
        err: expect.stringContaining(`${flag}: "ls" is not KEY=VALUE, as in ${flag} script=`),
      });
    expect(await stomp('approve', 'nope')).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^(?!.*GET ).*"stomp-serve approvals --all" lists/),
    });
    expect((await stomp('approve', '--help')).out).not.toContain('As above');
  });

  it('are decided with the key that is named, not with the token that is found', async () => {
    const key = 'an-approver-key-of-some-length';
    const clutch = await TestClutch.open();
    const keys = new KeyRing([{ role: 'approver', key, name: 'ann' }]);
    const { port } = await start({ clutch, keys });
    vi.stubEnv('STOMP_DATABASE', join(clutch.folder, 'stomp.db'));
    writeFileSync(join(clutch.folder, 'approver-token'), `${token}\n`);
    const file = join(clutch.folder, 'keys');
    writeFileSync(file, `approver ${key} ann\n`, { mode: 0o600 });
    const { id } = await clutch.open(await clutch.start({ prompt: 'x' }));
    expect((await stompAt(port, 'approve', id)).code).toBe(1);
    expect(await stompAt(port, 'approve', id, '--api-key-file', file)).toMatchObject({ code: 0, err: '' });
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

it('whoever sits here while the server is started again decides with its new token', async () => {
  const { clutch, port, run } = await open();
  const file = join(clutch.folder, 'token');
  writeFileSync(file, 'the-token-of-the-server-before');
  const { flags } = parseArguments(['--port', String(port)], 'run');
  const client = await ClutchClient.open(resolveSettings({ command: 'run', flags }), file);
  const { id, revision } = await clutch.open(run);
  const decide = () => client.json('POST', `/v1/approvals/${id}/resolve`, { decision: 'approve', revision });
  await expect(decide()).rejects.toThrow('approver token');
  writeFileSync(file, token);
  expect(await decide()).toMatchObject({ status: 'approved' });
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

  it('that may not work where it is asked to says what to do', async () => {
    const { clutch, stomp } = await open();
    vi.spyOn(clutch, 'start').mockRejectedValue(
      new StompError('PATH_DENIED', '/x is not allowed: it is outside of /srv.'),
    );
    expect(await stomp('run', 'Build it', '--base-dir', '/x')).toMatchObject({
      code: 1,
      err: expect.stringMatching(/outside of \/srv\. .*cd.*--base-dir/),
    });
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

describe('audit verify', () => {
  /** Of a session with a run that is over. */
  async function audited() {
    const { clutch, stomp } = await open();
    const run = await clutch.start({ prompt: 'x', sessionId: 's1' });
    const folder = join(clutch.folder, 'audit', 's1');
    const audit = RunAudit.open({ folder });
    audit.http({ method: 'GET' });
    audit.http({ method: 'POST' });
    const state = { ...run.state, auditHeads: await audit.sync() };
    await audit.close();
    await clutch.end({ ...run, state }, 'done');
    return { clutch, stomp, folder, http: join(folder, 'http.jsonl') };
  }

  it('tells whether it is whole, and by whom its end was checked', async () => {
    const { stomp, folder, http } = await audited();
    const { code, out } = await stomp('audit', 'verify', folder);
    expect(code).toBe(0);
    expect(out).toMatch(
      /^2 entries, all as they were written\nEnds checked: by 1 run in the server at http:\S+\.\n$/,
    );
    writeFileSync(http, '{"changed":true}\n');
    expect((await stomp('audit', 'verify', folder)).code).toBe(1);
  });

  it('finds that the last line, or a whole file, is missing', async () => {
    const { stomp, clutch, folder, http } = await audited();
    const [first] = readFileSync(http, 'utf8').split('\n');
    writeFileSync(http, `${first}\n`);
    const cut = await stomp('audit', 'verify', folder);
    expect(cut).toMatchObject({ code: 1, out: expect.stringContaining('http.jsonl, entry 2') });
    rmSync(http);
    expect(await stomp('audit', 'verify', folder)).toMatchObject({ code: 1 });
    const database = ['--database', join(clutch.folder, 'stomp.db')];
    const { code, out } = await stomp('audit', 'verify', folder, '--json', ...database);
    expect(code).toBe(1);
    expect(JSON.parse(out)).toMatchObject({
      faults: [{ file: 'http.jsonl', seq: 2 }],
      ends: { checked: true, runs: 1 },
    });
  });

  it('says so when nobody knows where the ends are', async () => {
    const { stomp, clutch, folder } = await audited();
    const other = join(clutch.folder, 'audit', 's2');
    cpSync(folder, other, { recursive: true });
    expect(await stomp('audit', 'verify', other)).toMatchObject({
      code: 0,
      out: expect.stringContaining('Ends not checked: no run of the session s2'),
    });
    const nowhere = await stomp('audit', 'verify', folder, '--database', join(clutch.folder, 'none.db'));
    expect(nowhere).toMatchObject({ code: 0, out: expect.stringContaining('Ends not checked: there is no') });
    expect(existsSync(join(clutch.folder, 'none.db'))).toBe(false);
    const { code, out } = await stompAt(1, 'audit', 'verify', folder);
    expect({ code, out }).toEqual({ code: 0, out: expect.stringContaining('Ends not checked: No server') });
  });

  it('names what is no audit', async () => {
    const { stomp, clutch, http } = await audited();
    for (const path of [join(clutch.folder, 'none'), http]) {
      expect(await stomp('audit', 'verify', path)).toMatchObject({
        code: 2,
        err: expect.stringContaining('holds no audit: name the folder'),
      });
    }
  });
});

it('an edit in an editor is what was changed, and nothing else', () => {
  expect(changes({ a: 1, b: 'x' }, '{"a": 2, "b": "x"}')).toEqual({ a: 2 });
  expect(() => changes({ a: 1 }, '{"a": ')).toThrow(/nothing is decided/);
});

it('an edit in an editor takes no field out: it would be there all the same', () => {
  expect(() => changes({ a: 1, force: true }, '{"a": 2}')).toThrow(
    /"force" cannot be taken out.*nothing is decided/,
  );
});

it('names of fields and titles, which a model may have written, stay in their place', async () => {
  const { clutch, stomp, run } = await open();
  const name = 'path\u001b[1A\n  script: ls\n  note';
  await clutch.open(run, {
    payload: { [name]: 'x', script: 'rm\u200b -rf \u2028.' },
    preview: { title: 'Look\n  script: ls' },
  });
  const { out } = await stomp('approvals');
  const lines = out.split('\n');
  expect(lines.filter((line) => line.startsWith('  script:'))).toEqual(['  script: rm\u200b -rf \u2028.']);
  expect(out).toContain(': Look script: ls\n');
  expect(out).toContain('\n  "path\\u001b[1A\\n  script: ls\\n  note": x\n');
  expect(out).toContain(
    'It holds characters that cannot be seen, or that change the order of others: U+200B, U+2028.',
  );
});

it('what a model wrote moves no cursor', () => {
  expect(printable('a\u001b[31m\u202eb\tc\nd\u0007')).toBe('a\ufffd[31m\ufffdb\tc\nd\ufffd');
});
