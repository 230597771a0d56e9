import { mkdirSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { forecast } from '../../../ts/reservations/forecast/forecast.js';
import { Objects } from '../../../ts/reservations/git/objects.js';
import { Repository } from '../../../ts/reservations/git/repository.js';
import { buildCallGraph } from '../../../ts/reservations/graph/build.js';
import { GitTree } from '../../../ts/reservations/symbols/git-tree.js';
import { SymbolIndex } from '../../../ts/reservations/symbols/index.js';
import { ParseThreads } from '../../../ts/reservations/symbols/parse-threads.js';
import { WorkingTree } from '../../../ts/reservations/symbols/working-tree.js';
import { newFolder, TestRepository } from './repositories.js';

let repository: TestRepository;
let cachePath: string;

beforeEach(() => {
  repository = new TestRepository();
  cachePath = path.join(newFolder(), 'symbols.db');
});

/** Opens an index of the working tree. @returns it, and how many files had to be read. */
async function open(options: { threads?: number; signal?: AbortSignal } = {}) {
  let read = 0;
  const index = await SymbolIndex.open({
    tree: (cache) => new WorkingTree(repository.folder, cache),
    cachePath,
    onProgress: (done) => {
      read = done;
    },
    ...options,
  });
  return { index, read };
}

const names = (index: SymbolIndex, file: string) => index.file(file)?.symbols.map(({ name }) => name);

describe('the files of a working tree', () => {
  it('are those that git tracks or would, without links and other repositories, with the ids git gives them', async () => {
    repository.commit({
      'a.py': 'def a(): pass\n',
      '.gitignore': 'out/\n',
      'ü/b c.ts': 'let b;\n',
    });
    repository.write({ 'new.py': 'def n(): pass\n', 'gone.py': '', 'out/x.py': 'x' });
    repository.git('add', 'gone.py');
    rmSync(path.join(repository.folder, 'gone.py'));
    symlinkSync('a.py', path.join(repository.folder, 'link.py'));
    mkdirSync(path.join(repository.folder, 'inner'));
    repository.write({ 'inner/i.py': 'i = 1\n' });
    repository.git('-C', 'inner', 'init', '-q');
    const files = await new WorkingTree(repository.folder).files();
    expect(files.map((file) => file.path)).toEqual(['.gitignore', 'a.py', 'new.py', 'ü/b c.ts']);
    for (const file of files)
      expect(file.contentId).toBe(repository.git('hash-object', '--no-filters', file.path));
  });

  it('are not read when they have other bytes than when they were listed', async () => {
    repository.write({ 'a.py': 'def a(): pass\n' });
    const tree = new WorkingTree(repository.folder);
    const [file] = await tree.files();
    if (file === undefined) throw new Error('no file');
    repository.write({ 'a.py': 'def b(): pass\n' });
    expect(await tree.read(file)).toBeUndefined();
  });
});

describe('an index', () => {
  it('reads a commit just like the same files in the working tree', async () => {
    const commit = repository.commit({
      'a.py': 'def a(): pass\n',
      'b.ts': 'export class B { m() {} }\n',
      'c.bin': Buffer.of(0, 1),
    });

    const objects = new Objects(await Repository.open(repository.folder));
    try {
      const index = await SymbolIndex.open({ tree: new GitTree(objects, commit) });
      expect(index.files).toEqual((await open()).index.files);
      expect(names(index, 'b.ts')).toEqual(['B', 'B.m']);
    } finally {
      objects.close();
    }
  });

  it('reads only what has changed', async () => {
    repository.write({ 'a.py': 'def a(): pass\n', 'b.py': 'def b(): pass\n' });
    expect((await open()).read).toBe(2);
    repository.write({ 'b.py': 'def c(): pass\n' });
    const { index, read } = await open();
    expect(read).toBe(1);
    expect(names(index, 'a.py')).toEqual(['a']);
    expect(names(index, 'b.py')).toEqual(['c']);
  });

  it('sees a change of the same length under the same modification time', async () => {
    const file = path.join(repository.folder, 'a.py');
    repository.write({ 'a.py': 'def a(): pass\n' });
    await sleep(100);
    await open();
    const { atime, mtime } = statSync(file);
    writeFileSync(file, 'def b(): pass\n');
    utimesSync(file, atime, mtime);
    expect(names((await open()).index, 'a.py')).toEqual(['b']);
  });

  it('reads the same content once, whatever it is called', async () => {
    repository.write({ 'a.py': 'def a(): pass\n', 'b.py': 'def a(): pass\n', 'a.ts': 'def\n' });
    const { index, read } = await open();
    expect(read).toBe(2);
    expect(names(index, 'b.py')).toEqual(['a']);
  });

  it('names files that are known as a whole only, and is silent about pictures', async () => {
    repository.write({ 'bad.py': 'def (:\n', 'x.png': Buffer.of(0), 'ok.py': 'def ok(): pass\n' });
    const { index } = await open();
    expect(index.warnings).toEqual([
      { subject: 'bad.py', reason: expect.stringContaining('does not parse') },
    ]);
    expect(index.files).toHaveLength(3);
  });

  it('reads many files on threads, with the same result', async () => {
    const files = Array.from({ length: 150 }, (_, i) => [
      `src/f${i}.py`,
      `def f${i}():\n${'    call()\n'.repeat(60)}`,
    ]);
    repository.write(Object.fromEntries(files));
    const { index, read } = await open();
    expect(read).toBe(150);
    expect(names(index, 'src/f149.py')).toEqual(['f149']);
    expect(index.file('src/f7.py')?.symbols[0]?.calls).toHaveLength(60);
    expect((await open()).read).toBe(0);
  });

  it('stops when it is cancelled', async () => {
    const line = '    call(1, 2, [3])\n';
    for (let i = 0; i < 40; i += 1) repository.write({ [`f${i}.py`]: `def f${i}():\n${line.repeat(8000)}` });
    const controller = new AbortController();
    const opened = SymbolIndex.open({
      tree: new WorkingTree(repository.folder),
      signal: controller.signal,
      onProgress: () => controller.abort(),
    });
    await expect(opened).rejects.toMatchObject({ code: 'CANCELLED' });
  });
});

describe('the cache of an index', () => {
  const source = { 'a.py': 'def a(): pass\n' };

  it.each([
    ['no database', Buffer.from('this is no database at all, but long enough to be looked at')],
    ['empty', Buffer.alloc(0)],
    ['cut off', Buffer.from('SQLite format 3\0')],
  ])('is built anew when it is %s', async (_, bytes) => {
    repository.write(source);
    writeFileSync(cachePath, bytes);
    expect(names((await open()).index, 'a.py')).toEqual(['a']);
    expect((await open()).read).toBe(0);
  });

  it('is built anew when its pages are damaged', async () => {
    repository.write(source);
    await open();
    const size = statSync(cachePath).size;
    writeFileSync(cachePath, Buffer.alloc(size - 100, 0x5a), { flag: 'r+' });
    expect(names((await open()).index, 'a.py')).toEqual(['a']);
    expect((await open()).read).toBe(0);
  });

  it('is done without where none can be, and says so', async () => {
    repository.write(source);
    mkdirSync(cachePath);
    const { index } = await open();
    expect(names(index, 'a.py')).toEqual(['a']);
    expect(index.warnings).toEqual([{ subject: 'cache', reason: expect.stringContaining('not kept') }]);
  });

  it('serves several indexes at the same time', async () => {
    repository.write(source);
    const all = await Promise.all(Array.from({ length: 8 }, () => open()));
    for (const { index } of all) expect(names(index, 'a.py')).toEqual(['a']);
  });
});

describe('threads that read files', () => {
  it('go on with the others when the parser breaks down over one, and say so of that one', async () => {
    const threads = new ParseThreads(1);
    try {
      const tasks = ['a.py', 'bad.py', 'c.py'].map((file) => ({
        path: file,
        bytes: Buffer.from('def f(): pass\n'),
      }));
      // Nothing that a file could hold breaks it down; what is no file does.
      const broken = tasks.map((task) => (task.path === 'bad.py' ? { ...task, bytes: null as never } : task));
      const [a, bad, c] = await threads.read(broken);
      expect(a?.symbols).toHaveLength(1);
      expect(bad?.problem).toContain('The parser ended over it');
      expect(c?.symbols).toHaveLength(1);
    } finally {
      await threads.close();
    }
  });

  it.each([0, 17, 1.5])('are not %s', async (threads) => {
    await expect(open({ threads })).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
  });
});

describe('a forecast for what lies in a working tree', () => {
  it('sees calls between files that were not committed yet', async () => {
    repository.write({
      'lib/tax.ts': 'export function tax() {}\n',
      'app/bill.ts': "import { tax } from '../lib/tax.js';\nexport const bill = () => tax();\n",
    });
    const { index } = await open();
    const announce = (runId: string, address: string) => ({
      ...{ reservationId: runId, runId, branch: 'main', addresses: [address], operation: null },
      ...{ createdAt: new Date(0), expiresAt: new Date(1) },
    });
    const reservations = [announce('a', 'lib/tax.ts::tax'), announce('b', 'app/bill.ts::bill')];
    const graph = buildCallGraph(index.files);
    const { conflicts, mediumRisk } = forecast({ reservations, intents: [], files: index.files, graph });
    expect(conflicts.map(({ conflictType }) => conflictType)).toEqual(['blast_radius_overlap']);
    expect(mediumRisk).toBe(1);
  });
});
