import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { git, gitText } from '../../../ts/reservations/git/git.js';
import { Objects } from '../../../ts/reservations/git/objects.js';
import { Repository } from '../../../ts/reservations/git/repository.js';
import { gitIn, newFolder, TestRepository } from './repositories.js';

afterEach(() => {
  vi.unstubAllEnvs();
});

const opened: Objects[] = [];
afterEach(() => {
  for (const objects of opened.splice(0)) objects.close();
});

async function objectsOf(repository: { folder: string }): Promise<Objects> {
  const objects = new Objects(await Repository.open(repository.folder));
  opened.push(objects);
  return objects;
}

describe('the git command', () => {
  it('does not look at GIT_* of the environment', async () => {
    const [here, other] = [new TestRepository(), new TestRepository()];
    vi.stubEnv('GIT_DIR', path.join(other.folder, '.git'));
    expect(await gitText(['rev-parse', '--show-toplevel'], { cwd: here.folder })).toBe(here.folder);
  });

  it('fails with its own words', async () => {
    const { folder } = new TestRepository();
    await expect(git(['cat-file', '-p', 'nothing'], { cwd: folder })).rejects.toMatchObject({
      code: 'GIT_FAILED',
      message: expect.stringContaining('Not a valid object name nothing'),
    });
  });

  it('says what to install when there is none', async () => {
    vi.stubEnv('PATH', newFolder());
    await expect(git(['status'], { cwd: '/' })).rejects.toMatchObject({
      code: 'GIT_FAILED',
      message: expect.stringContaining('Install git'),
    });
  });

  it('is killed when its caller gives up', async () => {
    const { folder } = new TestRepository();
    const controller = new AbortController();
    const waiting = git(['-c', 'alias.wait=!sleep 60', 'wait'], { cwd: folder, signal: controller.signal });
    controller.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'CANCELLED' });
  });

  it('gives no more output than is allowed', async () => {
    const repository = new TestRepository();
    repository.commit({ big: 'x'.repeat(100_000) });
    const asked = git(['cat-file', '-p', 'HEAD:big'], { cwd: repository.folder, maxBytes: 10_000 });
    await expect(asked).rejects.toMatchObject({ code: 'PAYLOAD_TOO_LARGE' });
  });
});

describe('a repository', () => {
  it('has the main worktree as its root, from any of its worktrees', async () => {
    const repository = new TestRepository();
    repository.commit({ 'a/b.txt': 'b' });
    const elsewhere = path.join(newFolder(), 'tree');
    repository.git('worktree', 'add', '--quiet', '-b', 'side', elsewhere);
    const main = await Repository.open(path.join(repository.folder, 'a'));
    const linked = await Repository.open(elsewhere);
    expect(main).toMatchObject({ root: repository.folder, top: repository.folder, branch: 'main' });
    expect(linked).toMatchObject({ root: repository.folder, top: elsewhere, branch: 'side' });
    expect(linked.commonDir).toBe(main.commonDir);
  });

  it('may be bare', async () => {
    const folder = newFolder();
    gitIn(folder, 'init', '--quiet', '--bare', '--initial-branch=main');
    const bare = await Repository.open(folder);
    expect(bare).toMatchObject({ root: folder, top: undefined, isBare: true, branch: 'main' });
  });

  it('may be a worktree of a bare one', async () => {
    const source = new TestRepository();
    source.commit({ a: 'a' });
    const folder = newFolder();
    gitIn(folder, 'clone', '--quiet', '--bare', source.folder, 'bare');
    gitIn(path.join(folder, 'bare'), 'worktree', 'add', '--quiet', '../tree', 'main');
    const found = await Repository.open(path.join(folder, 'tree'));
    expect(found).toMatchObject({ root: path.join(folder, 'bare'), top: path.join(folder, 'tree') });
  });

  it('may have its head detached, and no commit yet', async () => {
    const repository = new TestRepository();
    expect(await Repository.open(repository.folder)).toMatchObject({ branch: 'main' });
    const id = repository.commit({ a: 'a' });
    repository.git('checkout', '--quiet', '--detach');
    const { branch } = await Repository.open(repository.folder);
    expect(branch).toBe(`detached@${id.slice(0, 7)}`);
  });

  it('may be shallow', async () => {
    const source = new TestRepository();
    source.commit({ a: 'a' });
    source.commit({ a: 'b' });
    const folder = newFolder();
    gitIn(folder, 'clone', '--quiet', '--depth', '1', `file://${source.folder}`, 'copy');
    expect(await Repository.open(path.join(folder, 'copy'))).toMatchObject({ isShallow: true });
  });

  it('may be a submodule, whose root is its own top', async () => {
    const inner = new TestRepository();
    inner.commit({ a: 'a' });
    const outer = new TestRepository();
    outer.git('submodule', '--quiet', 'add', inner.folder, 'sub');
    const found = await Repository.open(path.join(outer.folder, 'sub'));
    expect(found.root).toBe(path.join(outer.folder, 'sub'));
  });

  it('is refused where there is none, with what to do', async () => {
    const folder = newFolder();
    writeFileSync(path.join(folder, 'file'), '');
    await expect(Repository.open(folder)).rejects.toMatchObject({
      code: 'NOT_A_REPOSITORY',
      message: expect.stringContaining('git init'),
    });
    for (const name of ['file', 'missing'])
      await expect(Repository.open(path.join(folder, name))).rejects.toMatchObject({
        code: 'NOT_A_REPOSITORY',
      });
  });
});

describe('objects', () => {
  it('refuse refs that git would take for options, and unknown ones with a name that is near', async () => {
    const repository = new TestRepository();
    repository.commit({ a: 'a' });
    repository.branch('feature/login', { a: 'b' });
    const objects = await objectsOf(repository);
    for (const ref of ['--output=/tmp/x', '-h', '', 'a\nb', 'a\0b'])
      await expect(objects.commit(ref)).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
    await expect(objects.commit('feature/logni')).rejects.toMatchObject({
      code: 'UNKNOWN_REF',
      message: expect.stringContaining('feature/login'),
    });
    for (const ref of ['a..b', 'f'.repeat(40), 'HEAD:a', '@{-9}'])
      await expect(objects.commit(ref)).rejects.toMatchObject({ code: 'UNKNOWN_REF' });
  });

  it('list files, links, submodules and executables by exact names', async () => {
    const repository = new TestRepository();
    const id = repository.commit({
      'ä \t"x".txt': 'one',
      'line\nbreak': 'two',
      run: { script: '#!/bin/sh\n' },
      link: { link: 'run' },
    });
    repository.git('update-index', '--add', '--cacheinfo', `160000,${id},sub`);
    repository.git('commit', '--quiet', '--message', 'sub');
    const objects = await objectsOf(repository);
    const { entries, warnings } = await objects.tree(await objects.commit('HEAD'));
    expect(warnings).toEqual([]);
    const found = Object.fromEntries([...entries.values()].map((entry) => [entry.path, entry.mode]));
    expect(found).toEqual({
      'ä \t"x".txt': '100644',
      'line\nbreak': '100644',
      run: '100755',
      link: '120000',
      sub: '160000',
    });
  });

  it('leave out names that are not UTF-8, and say so', async () => {
    const repository = new TestRepository();
    mkdirSync(path.join(repository.folder, 'd'));
    writeFileSync(Buffer.concat([Buffer.from(`${repository.folder}/d/`), Buffer.from([0xff])]), 'x');
    repository.commit({ a: 'a' });
    const objects = await objectsOf(repository);
    const { entries, warnings } = await objects.tree(await objects.commit('main'));
    expect([...entries.keys()]).toEqual(['a']);
    expect(warnings).toHaveLength(1);
  });

  it('read many contents at once, each its own, large and empty ones too', async () => {
    const repository = new TestRepository();
    const contents = ['', 'x'.repeat(3_000_000), 'short', '\n', 'blob 3\n'];
    repository.commit(Object.fromEntries(contents.map((content, i) => [`f${i}`, content])));
    const objects = await objectsOf(repository);
    const { entries } = await objects.tree(await objects.commit('main'));
    const read = await Promise.all([...entries.values()].map(({ id }) => objects.read(id)));
    expect(read.map((bytes) => bytes.toString())).toEqual(contents);
    await expect(objects.read('0'.repeat(40))).rejects.toMatchObject({ code: 'GIT_FAILED' });
    await expect(objects.read('HEAD')).rejects.toMatchObject({ code: 'GIT_FAILED' });
  });

  it('fail reads that wait when they are closed', async () => {
    const repository = new TestRepository();
    const id = repository.commit({ a: 'a' });
    const objects = await objectsOf(repository);
    const waiting = objects.read(id);
    objects.close();
    await expect(waiting).rejects.toMatchObject({ code: 'CANCELLED' });
  });

  it('find one common ancestor, several, or none', async () => {
    const repository = new TestRepository();
    const root = repository.commit({ a: 'a' });
    const left = repository.branch('left', { l: 'l' });
    const right = repository.branch('right', { r: 'r' });
    const objects = await objectsOf(repository);
    expect(await objects.mergeBases(left, right)).toEqual([root]);
    for (const [on, from] of [
      ['left', right],
      ['right', left],
    ] as const) {
      repository.git('checkout', '--quiet', on);
      repository.git('merge', '--quiet', '--no-edit', from);
    }
    const tips = await Promise.all([objects.commit('left'), objects.commit('right')]);
    expect(await objects.mergeBases(...tips)).toEqual([left, right].sort());
    repository.git('checkout', '--quiet', '--orphan', 'alone');
    expect(await objects.mergeBases(left, repository.commit({ z: 'z' }))).toEqual([]);
  });

  it('see renamed files', async () => {
    const repository = new TestRepository();
    const text = Array.from({ length: 30 }, (_, i) => `line ${i}\n`).join('');
    repository.commit({ 'old name.txt': text, gone: 'g', stays: 's' });
    const after = repository.branch('side', {
      'old name.txt': null,
      gone: null,
      'new/näme.txt': `${text}more\n`,
    });
    const objects = await objectsOf(repository);
    const renames = await objects.renames(await objects.commit('main'), after);
    expect([...renames]).toEqual([['old name.txt', 'new/näme.txt']]);
  });

  it('follow a link to a repository', async () => {
    const repository = new TestRepository();
    repository.commit({ a: 'a' });
    const link = path.join(newFolder(), 'link');
    symlinkSync(repository.folder, link);
    expect((await Repository.open(link)).root).toBe(repository.folder);
  });
});
