/** The commands about symbols, as people and scripts use them. */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeEach, describe, expect, it } from 'vitest';
import { newFolder, TestRepository } from '../integration/reservations/repositories.js';

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

let home: string;
let repository: TestRepository;
beforeEach(() => {
  home = newFolder();
  repository = new TestRepository();
  repository.commit({
    'pkg/tax.py': 'def rate(country):\n    return 0.2\n',
    'pkg/bill.py': 'from pkg.tax import rate\n\n\ndef total(net):\n    return net * (1 + rate("de"))\n',
  });
});

function start(folder: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const own = { ...process.env, STOMP_DATABASE: path.join(home, 'stomp.db'), ...env };
  return spawn(process.execPath, [main, ...args], { cwd: folder, env: own });
}

async function ended(child: ReturnType<typeof start>): Promise<Ended> {
  let [out, err] = ['', ''];
  child.stdout.on('data', (text) => (out += text));
  child.stderr.on('data', (text) => (err += text));
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  return { code, out, err };
}

const stomp = (...args: string[]) => ended(start(repository.folder, args));

/** No more than a warning: what is not there may be about to be made. */
const notYet = /^stomp-serve: \S+: There is no such (file|symbol) yet\.\n/gm;

async function json(...args: string[]): Promise<Record<string, unknown>> {
  const { code, out, err } = await stomp(...args, '--json');
  expect({ code, err: err.replace(notYet, '') }).toEqual({ code: 0, err: '' });
  return JSON.parse(out) as Record<string, unknown>;
}

const ann = ['--run-id', 'ann', '--branch', 'feat/ann'];
const bob = ['--agent', 'bob', '--branch', 'feat/bob'];

describe('to reserve', () => {
  it('writes a record as the schema has it, and shows it until it is released', async () => {
    const made = await json(
      'reserve',
      './pkg/tax.py::rate',
      'pkg/a,b.py',
      '--op',
      'rename',
      '--ttl',
      '60',
      ...ann,
    );
    const id = String(made['reservation_id']);
    const folder = path.join(repository.folder, '.muse/coordination/reservations');
    expect(JSON.parse(readFileSync(path.join(folder, `${id}.json`), 'utf8'))).toEqual({
      schema_version: 1,
      reservation_id: id,
      run_id: 'ann',
      branch: 'feat/ann',
      addresses: ['pkg/tax.py::rate', 'pkg/a,b.py'],
      created_at: made['created_at'],
      expires_at: made['expires_at'],
      operation: 'rename',
    });
    expect(repository.git('status', '--porcelain')).toBe('');
    expect((await stomp('list')).out).toMatch(/ann@feat\/ann +rename .* pkg\/tax\.py::rate, pkg\/a,b\.py/);
    expect(await json('renew', id, '--run-id', 'ann')).toMatchObject({ reservation_id: id });
    expect(
      await json('intent', '--reservation', id, '--operation', 'rename', '--detail', 'to x', ...ann),
    ).toMatchObject({
      reservation_id: id,
      addresses: ['pkg/tax.py::rate', 'pkg/a,b.py'],
    });
    expect((await stomp('release', id, '--run-id', 'ann')).out).toBe(`${id}  released\n`);
    expect(await json('list')).toEqual({ reservations: [], intents: [], warnings: [] });
    expect(await json('list', '--all')).toMatchObject({ reservations: [{ run_id: 'ann' }], intents: [{}] });
    expect(await json('gc', '--older-than', '0')).toEqual({ archived: 4 });
    expect((await stomp('list', '--all')).out).toBe('Nothing is reserved.\n');
  });

  it('tells whose a symbol is; with --if-free it is refused, with an exit code of its own', async () => {
    await json('reserve', 'pkg/tax.py', ...ann);
    expect(await json('reserve', 'pkg/tax.py::rate', ...bob)).toMatchObject({
      held: [{ held_address: 'pkg/tax.py', overlap: 'contains', run_id: 'ann' }],
    });
    const refused = await stomp('reserve', 'pkg/tax.py::other', '--if-free', '--json', '--run-id', 'carol');
    expect(refused).toMatchObject({ code: 3, out: '' });
    expect(JSON.parse(refused.err)).toMatchObject({ error: { code: 'RESERVATION_CONFLICT', run_id: 'ann' } });
    expect((await stomp('await', 'pkg/tax.py', '--timeout', '0')).code).toBe(3);
  });

  it('of two processes that ask at once with --if-free, one gets it', async () => {
    const both = ['one', 'two'].map((name) =>
      ended(start(repository.folder, ['reserve', 'pkg/tax.py', '--if-free', '--run-id', name])),
    );
    expect((await Promise.all(both)).map(({ code }) => code).sort()).toEqual([0, 3]);
  });

  it('says which symbols and files are not there, and reserves them', async () => {
    const { code, err } = await stomp('reserve', 'pkg/tax.py::rate', 'pkg/tax.py::nobody', 'none.py', ...ann);
    expect({ code, told: err.match(notYet)?.length, rest: err.replace(notYet, '') }).toEqual({
      code: 0,
      told: 2,
      rest: '',
    });
  });

  it('may lock the files, too, which keeps others out of them', async () => {
    const made = await json('reserve', 'pkg/tax.py::rate', '--lock', ...ann);
    expect(made['leases']).toBeTypeOf('object');
    const refused = await stomp('reserve', 'pkg/tax.py::other', '--lock', ...bob);
    expect(refused).toMatchObject({ code: 1, err: expect.stringContaining('ann') });
    expect(await json('release', String(made['reservation_id']), ...ann.slice(0, 2))).toMatchObject({
      warnings: [],
    });
    await json('reserve', 'pkg/tax.py::other', '--lock', ...bob);
  });

  it('takes no database where nothing is locked', async () => {
    await json('reserve', 'pkg/tax.py', ...ann);
    expect(existsSync(path.join(home, 'stomp.db'))).toBe(false);
  });

  it('may keep its records in the database', async () => {
    await json('reserve', 'pkg/tax.py', '--reservations', 'database', ...ann);
    expect(await json('list', '--reservations', 'database')).toMatchObject({ reservations: [{}] });
    expect(await json('list')).toMatchObject({ reservations: [] });
  });

  it('is for the agent of the environment, where no flag says whose', async () => {
    const made = await ended(
      start(repository.folder, ['reserve', 'pkg/tax.py', '--json'], { STOMP_AGENT_ID: 'dora' }),
    );
    expect(made.err).toBe('');
    expect(JSON.parse(made.out)).toMatchObject({ run_id: 'dora', branch: 'main' });
    const nobody = await stomp('reserve', 'pkg/tax.py');
    expect(nobody).toMatchObject({ code: 1, err: expect.stringMatching(/--run-id.*STOMP_AGENT_ID/) });
  });
});

describe('records that others wrote', () => {
  it('are read, and bad ones passed over with a line each', async () => {
    const folder = path.join(repository.folder, '.muse/coordination/reservations');
    mkdirSync(folder, { recursive: true });
    const record = {
      schema_version: 1,
      reservation_id: '11111111-2222-4333-8444-555555555555',
      run_id: 'muse',
      branch: 'dev',
      addresses: ['pkg/tax.py::rate'],
      created_at: '2026-03-18T12:00:00+00:00',
      expires_at: '2126-03-18T13:00:00+00:00',
      operation: null,
    };
    const write = (name: string, text: string) => writeFileSync(path.join(folder, `${name}.json`), text);
    write(record.reservation_id, `${JSON.stringify(record, null, 2)}\n`);
    write('21111111-2222-4333-8444-555555555555', 'null');
    write('31111111-2222-4333-8444-555555555555', '[1]');
    write('41111111-2222-4333-8444-555555555555', JSON.stringify(record).slice(0, 60));
    write('51111111-2222-4333-8444-555555555555', JSON.stringify({ ...record, schema_version: 2 }));
    const naive = { ...record, reservation_id: '61111111-2222-4333-8444-555555555555' };
    write(naive.reservation_id, JSON.stringify({ ...naive, expires_at: '2126-03-18T13:00:00' }));
    const { code, out, err } = await stomp('list', '--json');
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ reservations: [{ run_id: 'muse' }] });
    expect(err.trim().split('\n')).toHaveLength(5);
    for (const digit of '23456') expect(err).toContain(`${digit}1111111-2222`);
  });
});

describe('what the code says', () => {
  it('is told in words and in JSON', async () => {
    await json('reserve', 'pkg/tax.py::rate', ...ann);
    await json('reserve', 'pkg/bill.py::total', ...bob);
    const forecast = await stomp('forecast');
    expect(forecast.out).toMatch(
      /1 conflict .*\n +0\.75 +blast_radius_overlap +ann@feat\/ann and bob@feat\/bob\n.*rate/,
    );
    expect(await json('forecast', '--run-id', 'nobody')).toMatchObject({
      active_reservations: 2,
      conflicts: [],
    });
    expect((await stomp('impact', 'pkg/tax.py::rate')).out).toContain('1  pkg/bill.py::total');
    expect((await stomp('shard', '2')).out).toContain('Part 2: ');
    expect(await json('shard', '1')).toMatchObject({ parts: [{ symbols: 2 }], cut_calls: 0 });
  });

  it('of a merge: a plan with exit code 0, and files beside the repository only', async () => {
    repository.branch('theirs', { 'pkg/tax.py': 'def rate(country):\n    return 0.3\n' });
    repository.commit({ 'pkg/tax.py': 'def rate(country):\n    return 0.1\n' });
    const plan = await stomp('plan-merge', 'main', 'theirs');
    expect(plan).toMatchObject({ code: 0, err: '' });
    expect(plan.out).toMatch(/1 open conflict.*CONFLICT +symbol_edit_overlap +pkg\/tax\.py::rate/s);
    expect(await json('plan-merge', 'main', 'theirs')).toMatchObject({
      is_clean: false,
      order: ['pkg/tax.py'],
    });
    const out = path.join(home, 'merged');
    const written = await json('plan-merge', 'main', 'theirs', '--out', out, '--with-markers');
    expect(written).toMatchObject({ written: { written: ['pkg/tax.py'] } });
    expect(readFileSync(path.join(out, 'pkg/tax.py'), 'utf8')).toContain('<<<<<<<');
    const within = await stomp('plan-merge', 'main', 'theirs', '--out', path.join(repository.folder, 'x'));
    expect(within).toMatchObject({ code: 1, err: expect.stringContaining('apart from the repository') });
    expect((await stomp('reconcile')).out).toContain('1. theirs: 1 conflict with main');
    expect((await stomp('plan-merge', 'main', 'thiers')).err).toContain('Did you mean "theirs"?');
  });
});

describe('the repository', () => {
  it('is that of the folder, of a linked working tree, or a bare one', async () => {
    await json('reserve', 'pkg/tax.py', ...ann);
    const tree = path.join(newFolder(), 'tree');
    repository.git('worktree', 'add', '-q', '-b', 'feat/x', tree);
    const bare = path.join(newFolder(), 'bare.git');
    repository.git('clone', '-q', '--bare', repository.folder, bare);
    const list = async (folder: string) => {
      const { out, code } = await ended(start(folder, ['list', '--json']));
      expect(code).toBe(0);
      return (JSON.parse(out) as { reservations: unknown[] }).reservations.length;
    };
    expect(await list(path.join(repository.folder, 'pkg'))).toBe(1);
    expect(await list(tree)).toBe(1);
    expect(await list(bare)).toBe(0);
    const named = await ended(start(home, ['list', '--json', '--repository', repository.folder]));
    expect(JSON.parse(named.out)).toMatchObject({ reservations: [{}] });
  });

  it('that there is none has an exit code of its own', async () => {
    const { code, err } = await ended(start(home, ['list']));
    expect({ code, err }).toMatchObject({ code: 2, err: expect.stringContaining('git init') });
  });
});

it.each([
  'reserve',
  'intent',
  'release',
  'renew',
  'list',
  'await',
  'forecast',
  'impact',
  'shard',
  'plan-merge',
  'reconcile',
  'gc',
])('%s explains itself, and refuses what it does not know', async (command) => {
  const { code, out } = await stomp(command, '--help');
  expect(code).toBe(0);
  expect(out).toContain(`Usage: stomp-serve ${command}`);
  expect(out).toContain('Exit codes: ');
  expect(await stomp(command, '--colour')).toMatchObject({ code: 1, out: '' });
});

it('stops waiting at Ctrl-C', async () => {
  await json('reserve', 'pkg/tax.py', ...ann);
  const child = start(repository.folder, ['await', 'pkg/tax.py', ...bob]);
  const end = ended(child);
  setTimeout(() => child.kill('SIGINT'), 1500);
  expect(await end).toMatchObject({ code: 130, out: '' });
});

it('waits until what it waits for is free', async () => {
  const made = await json('reserve', 'pkg/tax.py', ...ann);
  const waiting = ended(start(repository.folder, ['await', 'pkg/tax.py::rate', ...bob]));
  await json('release', String(made['reservation_id']), '--run-id', 'ann');
  expect(await waiting).toMatchObject({ code: 0, out: 'Free: pkg/tax.py::rate\n' });
});

it('what it says fits a pipe that is closed early', () => {
  const script = `"${process.execPath}" "${main}" list --help | head -1`;
  expect(execFileSync('bash', ['-c', script], { cwd: repository.folder, encoding: 'utf8' })).toContain(
    'Usage',
  );
});
