/** What `Reservations` says of the code of a repository: on a thread, of what lies in the folder now. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Reservations } from '../../../ts/reservations/index.js';
import { newFolder, TestRepository } from './repositories.js';

const alice = { runId: 'alice', branch: 'feat/a' };
const bob = { runId: 'bob', branch: 'feat/b' };

let repository: TestRepository;
let reservations: Reservations;
beforeEach(async () => {
  repository = new TestRepository();
  repository.commit({
    'pkg/__init__.py': '',
    'pkg/tax.py': 'def rate(country):\n    return 0.2\n',
    'pkg/bill.py': 'from pkg.tax import rate\n\n\ndef total(net):\n    return net * (1 + rate("de"))\n',
    'src/tax.ts': 'export function rate(country: string): number {\n  return 0.2;\n}\n',
    'src/bill.ts':
      "import { rate } from './tax.js';\n\nexport class Bill {\n  total(net: number): number {\n    return net * (1 + rate('de'));\n  }\n}\n",
    'pkg/alone.py': 'def alone():\n    return 0\n',
    'data.bin': Buffer.of(0, 1, 2),
  });
  reservations = await Reservations.open({ folder: repository.folder });
});
afterEach(() => reservations.close());

describe('a forecast', () => {
  const pairs = [
    ['Python', 'pkg/tax.py::rate', 'pkg/bill.py::total'],
    ['TypeScript', 'src/tax.ts::rate', 'src/bill.ts::Bill.total'],
  ] as const;
  const both = pairs.flatMap(([language, callee, caller]) => [
    [language, callee, caller, caller, callee] as const,
    [language, caller, callee, caller, callee] as const,
  ]);

  it.each(both)(
    'sees in %s that %s and %s touch one path of calls',
    async (_, mine, yours, caller, callee) => {
      await reservations.reserve({ ...alice, addresses: [mine] });
      await reservations.reserve({ ...bob, addresses: [yours] });
      const { conflicts, mediumRisk, warnings } = await reservations.forecast();
      expect(conflicts).toEqual([
        expect.objectContaining({
          conflictType: 'blast_radius_overlap',
          addresses: expect.arrayContaining([mine, yours]),
          agents: ['alice@feat/a', 'bob@feat/b'],
          confidence: 0.75,
          callPath: [caller, callee],
        }),
      ]);
      expect({ mediumRisk, warnings }).toEqual({ mediumRisk: 1, warnings: [] });
    },
  );

  it('may be of one agent only, and comes with a reservation where it is asked for', async () => {
    const mine = await reservations.reserve({ ...alice, addresses: ['pkg/tax.py::rate'], forecast: true });
    expect(mine).toMatchObject({ held: [], conflicts: [] });
    await reservations.reserve({ ...alice, runId: 'carol', addresses: ['src/tax.ts::rate'] });
    await reservations.reserve({ ...alice, runId: 'dora', addresses: ['src/tax.ts::rate'] });
    const yours = await reservations.reserve({ ...bob, addresses: ['pkg/bill.py::total'], forecast: true });
    expect(yours.conflicts).toMatchObject([{ agents: ['alice@feat/a', 'bob@feat/b'] }]);
    const counts = async (only: object) => (await reservations.forecast(only)).conflicts.length;
    expect(await counts({})).toBe(2);
    expect(await counts({ runId: 'carol' })).toBe(1);
    expect(await counts({ branch: 'feat/a' })).toBe(2);
    expect(await counts({ branch: 'feat/b' })).toBe(1);
    expect(await counts({ runId: 'alice', branch: 'feat/b' })).toBe(0);
  });

  it('goes by what is saved, committed or not', async () => {
    await reservations.reserve({ ...alice, addresses: ['pkg/tax.py::rate'] });
    await reservations.reserve({ ...bob, addresses: ['pkg/new.py::late'] });
    expect((await reservations.forecast()).conflicts).toEqual([]);
    repository.write({ 'pkg/new.py': 'from pkg.tax import rate\n\n\ndef late():\n    return rate("at")\n' });
    expect((await reservations.forecast()).conflicts).toMatchObject([
      { conflictType: 'blast_radius_overlap' },
    ]);
  });

  it('tells of files that are known as a whole only', async () => {
    repository.write({ 'pkg/bad.py': 'def f(:\n  pass' });
    const { warnings } = await reservations.forecast();
    expect(warnings).toEqual([{ subject: 'pkg/bad.py', reason: expect.stringContaining('does not parse') }]);
  });

  it('can be cancelled, and asked again', async () => {
    const cancel = new AbortController();
    const asked = reservations.forecast({ signal: cancel.signal });
    cancel.abort();
    await expect(asked).rejects.toMatchObject({ code: 'CANCELLED' });
    expect((await reservations.forecast()).conflicts).toEqual([]);
  });

  it('fails when the reservations are closed meanwhile', async () => {
    const asked = reservations.forecast();
    const failed = expect(asked).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
    await reservations.close();
    await failed;
  });
});

it('tells whoever reserves what is not there, and reserves it all the same', async () => {
  const addresses = ['pkg/tax.py::rate', 'pkg/tax.py::nobody', 'pkg/none.py::late', 'data.bin'];
  const { reservation, warnings } = await reservations.reserve({ ...alice, addresses, check: true });
  expect(reservation.addresses).toEqual(expect.arrayContaining(addresses));
  expect(warnings).toEqual([
    { subject: 'pkg/tax.py::nobody', reason: 'There is no such symbol yet.' },
    { subject: 'pkg/none.py::late', reason: 'There is no such file yet.' },
  ]);
  // What is remembered of all other files is not lost by that.
  const { conflicts } = await reservations.forecast();
  expect(conflicts).toEqual([]);
});

it('whoever does not say on which branch is on the one that is checked out', async () => {
  repository.git('switch', '-q', '-c', 'feat/x');
  const { reservation } = await reservations.reserve({ runId: 'carol', addresses: ['data.bin'] });
  expect(reservation.branch).toBe('feat/x');
});

it('plans a merge, and writes it beside the repository only', async () => {
  repository.git('switch', '-q', '-c', 'theirs');
  repository.commit({ 'pkg/tax.py': 'def rate(country):\n    return 0.2\n\n\ndef zero():\n    return 0\n' });
  repository.git('switch', '-q', 'main');
  repository.commit({ 'pkg/tax.py': 'def rate(country):\n    return 0.19\n' });
  const out = path.join(newFolder(), 'merged');
  const { conflicts, written } = await reservations.planMerge({ ours: 'main', theirs: 'theirs', out });
  expect(conflicts.filter(({ isResolved }) => !isResolved)).toEqual([]);
  expect(written?.written).toEqual(['pkg/tax.py']);
  expect(existsSync(path.join(out, 'pkg/tax.py'))).toBe(true);
  const within = path.join(repository.folder, 'merged');
  await expect(reservations.planMerge({ ours: 'main', theirs: 'theirs', out: within })).rejects.toMatchObject(
    { code: 'MERGE_REFUSED' },
  );
  await expect(reservations.planMerge({ ours: 'main', theirs: 'thiers' })).rejects.toMatchObject({
    code: 'UNKNOWN_REF',
    message: expect.stringContaining('theirs'),
  });
  const { order } = await reservations.reconcile();
  expect(order).toMatchObject([{ branch: 'theirs', conflicts: 0 }]);
});

it('tells who depends on a symbol, and shares files out', async () => {
  const { affected, files } = await reservations.impact({ addresses: ['./src/tax.ts::rate'] });
  expect(affected).toMatchObject([{ address: 'src/bill.ts::Bill.total', distance: 1 }]);
  expect(files).toEqual(['src/bill.ts']);
  const { parts, cutCalls } = await reservations.shard({ count: 2 });
  expect(parts.map(({ symbols }) => symbols)).toEqual([3, 3]);
  expect(cutCalls).toBe(0);
});

it('of a bare repository, the code is that of its HEAD', async () => {
  const bare = path.join(newFolder(), 'bare.git');
  repository.git('clone', '-q', '--bare', repository.folder, bare);
  const other = await Reservations.open({ folder: bare });
  const { affected } = await other.impact({ addresses: ['pkg/tax.py::rate'] });
  expect(affected).toMatchObject([{ address: 'pkg/bill.py::total' }]);
  await other.reserve({ ...alice, addresses: ['pkg/tax.py'] });
  expect(existsSync(path.join(bare, '.muse/coordination/reservations'))).toBe(true);
  await other.close();
});

it('without a folder there is no code', async () => {
  const records = await Reservations.open({ database: ':memory:', name: 'x' });
  await expect(records.forecast()).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  await expect(records.reserve({ runId: 'a', addresses: ['a.py'] })).rejects.toMatchObject({
    fields: { field: 'branch' },
  });
  await records.close();
});
