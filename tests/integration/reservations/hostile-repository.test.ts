import { existsSync, mkdirSync, readdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { GitMerge } from '../../../ts/reservations/git/merge-tree.js';
import { Objects } from '../../../ts/reservations/git/objects.js';
import { Repository } from '../../../ts/reservations/git/repository.js';
import { WorkingTree } from '../../../ts/reservations/symbols/working-tree.js';
import { gitIn, newFolder, TestRepository } from './repositories.js';

const open: { close(): unknown }[] = [];
afterEach(async () => {
  for (const it of open.splice(0)) await it.close();
});

/** Two branches that changed one line, each its own way. */
function forked(...initArguments: string[]): TestRepository {
  const repository = new TestRepository(newFolder(), ...initArguments);
  repository.commit({ 'a.txt': 'one\n' });
  repository.branch('side', { 'a.txt': 'two\n' });
  repository.commit({ 'a.txt': 'three\n' });
  return repository;
}

async function mergeOf({ folder }: { folder: string }): Promise<GitMerge> {
  const repository = await Repository.open(folder);
  const [ours, theirs] = ['main', 'side'].map((name) => gitIn(folder, 'rev-parse', name));
  const merge = await GitMerge.of(repository, ours ?? '', theirs ?? '');
  open.push(merge);
  return merge;
}

describe('a repository that is up to no good', () => {
  it.each([
    ['by default', ''],
    ['by an attribute', '*.txt merge=own\n'],
  ])('cannot have a merge run a program that its settings name %s', async (_, attributes) => {
    const repository = forked();
    const trace = path.join(newFolder(), 'ran');
    repository.git('config', 'merge.own.driver', `touch '${trace}'`);
    if (attributes === '') repository.git('config', 'merge.default', 'own');
    mkdirSync(path.join(repository.folder, '.git/info'), { recursive: true });
    writeFileSync(path.join(repository.folder, '.git/info/attributes'), attributes);
    const { conflicts } = await mergeOf(repository);
    expect(existsSync(trace)).toBe(false);
    expect([...(conflicts ?? [])]).toEqual(['a.txt']);
  });

  it('cannot have a read run a program that would fetch what is missing', async () => {
    const source = forked();
    source.git('config', 'uploadpack.allowFilter', 'true');
    const clone = newFolder();
    gitIn(
      clone,
      'clone',
      '--quiet',
      '--no-local',
      '--filter=blob:none',
      '--no-checkout',
      `file://${source.folder}`,
      '.',
    );
    const trace = path.join(newFolder(), 'ran');
    gitIn(clone, 'config', 'remote.origin.uploadpack', `touch '${trace}'; git-upload-pack`);
    const missing = source.git('rev-parse', 'side:a.txt');
    const objects = new Objects(await Repository.open(clone));
    open.push(objects);
    await expect(objects.read(missing)).rejects.toMatchObject({
      code: 'GIT_FAILED',
      message: expect.stringContaining('--refetch'),
    });
    expect(existsSync(trace)).toBe(false);
  });

  it('cannot have files elsewhere read by a link in the place of a folder', async () => {
    const repository = new TestRepository();
    repository.commit({ 'lib/a.py': 'a = 1\n', 'own/b.py': 'b = 1\n' });
    const elsewhere = path.join(newFolder(), 'lib');
    renameSync(path.join(repository.folder, 'lib'), elsewhere);
    symlinkSync(elsewhere, path.join(repository.folder, 'lib'));
    const files = await new WorkingTree(repository.folder).files();
    expect(files.map((file) => file.path)).toEqual(['own/b.py']);
  });
});

describe('a merge by git', () => {
  it('knows objects that are named by SHA-256', async () => {
    const { conflicts } = await mergeOf(forked('--object-format=sha256'));
    expect([...(conflicts ?? [])]).toEqual(['a.txt']);
  });

  it('knows where the history of a shallow clone ends', async () => {
    const source = forked();
    for (const text of ['x\n', 'y\n']) source.commit({ b: text });
    const clone = newFolder();
    gitIn(clone, 'clone', '--quiet', '--depth=4', '--no-single-branch', `file://${source.folder}`, '.');
    gitIn(clone, 'fetch', '--quiet', 'origin', 'side:side');
    const { conflicts } = await mergeOf({ folder: clone });
    expect([...(conflicts ?? [])]).toEqual(['a.txt']);
  });

  it('leaves the repository as it is', async () => {
    const repository = forked();
    const before = readdirSync(path.join(repository.folder, '.git'), { recursive: true }).sort();
    await mergeOf(repository);
    expect(readdirSync(path.join(repository.folder, '.git'), { recursive: true }).sort()).toEqual(before);
  });
});
