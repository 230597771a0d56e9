/** `stomp-serve context`: each run as a process of its own would be one. */
import { existsSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { contextVerbs } from '../../../ts/cli/context/verbs.js';
import { run } from '../../../ts/cli/run.js';
import { readVerb } from '../../../ts/cli/verbs/read.js';
import { packageVersion } from '../../../ts/version.js';

let folder: string;
beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'stomp-cli-')));
  vi.spyOn(process, 'cwd').mockReturnValue(folder);
  vi.stubEnv('STOMP_DATABASE', join(folder, 'stomp.db'));
  vi.stubEnv('STOMP_ROOTS', folder);
  vi.stubEnv('STOMP_STATE_FILE', join(folder, '.stomp/state.json'));
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

async function context(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  let out = '';
  let err = '';
  const code = await run(['context', ...args], {
    stdout: { write: (text) => (out += text) },
    stderr: { write: (text) => (err += text) },
  });
  return { code, out, err };
}

const { verbs } = contextVerbs;
const readContextArguments = (args: string[]) => readVerb(contextVerbs, args);

type Body = Record<string, unknown>;
async function json(...args: string[]): Promise<Body> {
  const { code, out, err } = await context(...args, '--json');
  expect({ code, err }).toEqual({ code: 0, err: '' });
  return JSON.parse(out) as Body;
}

describe('the verbs', () => {
  it('are listed, each with a help of its own that names every flag', async () => {
    const all = await context('--help');
    expect(all).toMatchObject({ code: 0, err: '' });
    for (const { words, flags } of verbs) {
      expect(all.out).toContain(`\n  ${words}`);
      const own = await context(...words.split(' '), '--help');
      expect(own).toMatchObject({ code: 0, err: '' });
      expect(own.out).toMatch(new RegExp(`^Usage: stomp-serve context ${words}`));
      for (const { name } of flags) expect(own.out).toMatch(new RegExp(`^  --${name}( |$)`, 'm'));
      expect(own.out).toContain('--database');
    }
    let out = '';
    const terminal = { stdout: { write: (text: string) => (out += text) }, stderr: { write: () => '' } };
    expect(await run(['help', 'context'], terminal)).toBe(0);
    expect(out).toBe(all.out);
    for (const args of [['help'], ['project', '--help'], ['session', '-h'], ['help', 'project']])
      expect(await context(...args)).toEqual(all);
    expect((await context('help', 'query')).out).toMatch(/^Usage: stomp-serve context query/);
    expect(await context('append', '-v')).toEqual({ code: 0, out: `${packageVersion()}\n`, err: '' });
  });

  it('say in their help what there is to choose from', async () => {
    const { out } = await context('query', '--help');
    expect(out).toContain('[info, success, warn, error, bug, plan]');
    expect(out).toContain('[project, all]');
  });

  it('have no two flags of one name, and none of a setting', () => {
    for (const { flags } of verbs) {
      const names = flags.map(({ name }) => name);
      expect(new Set(names).size).toBe(names.length);
      for (const name of ['database', 'roots', 'state-file', 'json', 'help', 'config'])
        expect(names).not.toContain(name);
    }
  });

  it.each([
    [[], 'A verb is missing. There are sessions'],
    [['sesions'], 'Did you mean "sessions"?'],
    [['session', 'begin'], 'There are session start, session heartbeat, session end.'],
    [['project', 'set'], 'NAME is missing'],
    [['project', 'set', 'a', 'b'], '"b" is one argument too many'],
    [['append', '', '--project', 'one'], 'stomp-serve: message must be a text that is not empty'],
    [['append', '- done'], 'Write -- before a text that begins with a dash.'],
    [['query', 'a', '--message', 'b'], '[MESSAGE] is given twice, by itself and as --message'],
    [['project', 'set', 'a', '--expected-versoin', '1'], 'Did you mean "--expected-version"?'],
    [['project', 'set', 'a', '--expected-version'], '--expected-version needs a value'],
    [['project', 'set', 'a', '--expected-version', 'x'], 'expected_version must be a whole number'],
    [['log', '--agent', '--json'], '--agent needs a value'],
    [['query', '--status', 'done'], 'must be one of info'],
    [['migrate', '--to', 'sqlite'], '--from is missing'],
    [['migrate', '--from', 'sqlite', '--to', 'postgres'], 'The settings name no database of postgres'],
    [['log', '--database', ''], 'a text that is not empty'],
  ])('refuse %j with exit code 2', async (args, message) => {
    const { code, out, err } = await context(...args);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toContain(message);
  });
});

describe('the command line of a verb', () => {
  const read = (...args: string[]) => readContextArguments(args).args;

  it('gives lists by repetition or commas, objects by pairs, and texts as they are', () => {
    expect(read('query', 'a,b', '--status', 'bug,error', '--status=warn', '--case-sensitive')).toEqual({
      message: 'a,b',
      status: ['bug', 'error', 'warn'],
      case_sensitive: true,
    });
    expect(read('append', 'm', '--meta', 'a=1', '--meta', 'b=x=y', '--confidence', '0.5')).toEqual({
      message: 'm',
      meta: { a: 1, b: 'x=y' },
      confidence: 0.5,
    });
    expect(read('append', '--agent', 'ann', '--session=s', '--', '--no flag')).toEqual({
      message: '--no flag',
      agent_id: 'ann',
      session_id: 's',
    });
    expect(read('query', '--start', '2026-01-01', '--end', '1767225600000')).toEqual({
      start: '2026-01-01',
      end: 1767225600000,
    });
    expect(read('sessions', '--active')).toEqual({ status: 'active' });
    expect(read('project', 'clear')).toEqual({ name: null });
  });

  it('takes as a flag, too, what may stand by itself', () => {
    expect(read('query', '--message', 'a,b')).toEqual({ message: 'a,b' });
    expect(read('append', '--message=- done')).toEqual({ message: '- done' });
    expect(read('project', 'set', '--name', '12', '--agent', 'ann')).toEqual({ name: '12', agent_id: 'ann' });
    expect(read('session', 'heartbeat', '--session', 's')).toEqual({ session_id: 's' });
    expect(read('audit', '--project', 'one')).toEqual({ project: 'one' });
  });

  it('leaves settings to whoever reads those', () => {
    const { settings, args } = readContextArguments(['log', '--database', 'x.db', '--limit', '3']);
    expect(settings).toEqual(['--database=x.db']);
    expect(args).toEqual({ limit: 3 });
  });
});

describe('a person, or a script,', () => {
  it('creates a project, works on it and writes down what happens', async () => {
    expect(await json('project', 'create', 'one', '--tags', 'a,b')).toMatchObject({ tags: ['a', 'b'] });
    expect(await json('project', 'set', 'one', '--expected-version', '0')).toMatchObject({
      agent_id: 'Scribe',
      version: 1,
    });
    const { entries } = await json('append', 'first', '--status', 'success', '--meta', 'k=v');
    expect(entries).toMatchObject([{ message: 'first', status: 'success', meta: { k: 'v' } }]);
    await json('append', 'second', '--agent', 'ann', '--project', 'one');
    expect(await json('query', '--agents', 'ann')).toMatchObject({ total: 1 });
    expect(await json('log', '--limit', '1')).toMatchObject({ entries: [{ message: 'second' }], total: 2 });
    const shown = await context('log');
    expect(shown.out).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d {2}info {2}ann {2}one {2}second$/m);
    expect(shown.out).toContain('2 entries, page 1 of 1.');
    expect((await context('projects')).out).toMatch(/^one +.* +a, b/m);
    expect((await context('project', 'current')).out).toMatch(/^version +1$/m);
    expect((await context('events')).out).toMatch(/Scribe +project_set +one +1/);
    expect((await context('audit')).out).toContain('one: whole, 2 lines in 1 file');
    expect((await json('project', 'clear'))['version']).toBe(2);
    expect((await context('project', 'delete', 'one', '--purge')).code).toBe(0);
    expect((await context('projects')).out).toBe('There are no projects.\n');
  });

  it('is told of a conflict as JSON, with exit code 1', async () => {
    await json('project', 'set', 'one', '--create');
    const lost = await context('project', 'set', 'one', '--expected-version', '0', '--json');
    expect({ code: lost.code, out: lost.out }).toEqual({ code: 1, out: '' });
    expect(JSON.parse(lost.err)).toMatchObject({
      error: { code: 'VERSION_CONFLICT', expected: 0, actual: 1, current_project: 'one' },
    });
    const plain = await context('project', 'set', 'one', '--expected-version', '0');
    expect(plain.err).toMatch(/^stomp-serve: .*expected version 1/);
  });

  it('starts, renews and ends sessions', async () => {
    const started = await json('session', 'start', '--agent', 'ann', '--session', 'anns');
    expect(started).toMatchObject({ session_id: 'anns', status: 'active' });
    expect((await context('sessions', '--active')).out).toMatch(/^anns +ann +active +\d{4}-/m);
    expect((await context('session', 'heartbeat', 'anns')).code).toBe(0);
    expect(await json('session', 'end', 'anns')).toMatchObject({ reason: 'ended' });
    expect((await json('sessions', '--active'))['sessions']).toEqual([]);
    expect((await context('session', 'end', 'none')).code).toBe(1);
  });

  it('finds out where the state file differs', async () => {
    await json('project', 'set', 'one', '--create');
    expect((await context('verify')).out).toContain('says what the database says');
    writeFileSync(join(folder, '.stomp/state.json'), '{}');
    const drifted = await context('verify');
    expect(drifted.code).toBe(1);
    expect(drifted.out).toContain('Scribe');
    expect((await context('verify', '--state-file', 'none')).code).toBe(2);
    const looked = await context('doctor');
    expect(looked.code).toBe(1);
    expect(looked.out).toContain('Nothing was changed');
    expect((await context('verify')).code).toBe(1);
    expect((await context('doctor', '--repair')).code).toBe(0);
    expect((await context('verify')).code).toBe(0);
  });

  it('looks at a database that is there alone, and makes one where something is written', async () => {
    const path = join(folder, 'mistyped.db');
    for (const verb of [['projects'], ['log'], ['query', 'x'], ['verify'], ['audit'], ['doctor']]) {
      const { code, out, err } = await context(...verb, '--database', path);
      expect({ code, out }).toEqual({ code: 2, out: '' });
      expect(err).toContain(`--database: there is no database ${path}`);
    }
    expect(existsSync(path)).toBe(false);
    expect((await context('project', 'set', 'one', '--create', '--database', path)).code).toBe(0);
    expect((await context('projects', '--database', path)).out).toContain('one');
  });

  it('has everything looked at, and moved to another database', async () => {
    await json('project', 'set', 'one', '--create');
    await json('append', 'first');
    expect(await json('doctor')).toMatchObject({ ok: true });
    expect((await context('doctor', '--repair')).out).toContain('0 findings');
    const to = join(folder, 'other.db');
    const moved = await context('migrate', '--from', 'sqlite', '--to', to, '--json');
    expect(moved).toMatchObject({ code: 0, err: expect.stringContaining('Copying entries (1 rows)') });
    expect(JSON.parse(moved.out)).toMatchObject({ resumed: false });
    const again = await context('migrate', '--from', 'sqlite', '--to', join(folder, 'third.db'));
    expect(again.out).toMatch(/^projects: 1 row, equal in both$/m);
    expect(again.out).toMatch(
      /^Left behind in .*:\n {2}stomp_lock_\w+ \(\d+ rows?\).*: leases and fencing tokens;/m,
    );
    expect(await json('log', '--database', to)).toMatchObject({ entries: [{ message: 'first' }] });
    expect((await context('migrate', '--from', to, '--to', to)).err).toContain('is the source itself');
    const absent = await context('migrate', '--from', join(folder, 'absent.db'), '--to', to);
    expect(absent).toMatchObject({ code: 2, err: expect.stringContaining('There is no file') });
  });
});
