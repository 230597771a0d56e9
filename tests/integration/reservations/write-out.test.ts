import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { Repository } from '../../../ts/reservations/git/repository.js';
import { planMerge } from '../../../ts/reservations/merge/plan.js';
import { type WriteOptions, writeMerge } from '../../../ts/reservations/merge/write-out.js';
import { symbolsOf } from '../../unit/reservations/read-files.js';
import { newFolder, TestRepository } from './repositories.js';

const base = 'def one():\n    return 1\n\n\ndef two():\n    return 2\n';

function example(): TestRepository {
  const repository = new TestRepository();
  repository.commit({ 'a.py': base, 'b.py': base, same: 's', gone: 'g', old: `${base}old\n` });
  repository.branch('ours', {
    'a.py': base.replace('return 1', 'return 10'),
    'b.py': base.replace('return 1', 'return 10'),
    'dir/run': { script: '#!/bin/sh\n' },
    gone: null,
  });
  repository.branch('theirs', {
    'a.py': base.replace('return 2', 'return 20'),
    'b.py': base.replace('return 1', 'return 11'),
    link: { link: '../elsewhere' },
    old: null,
    new: `${base}old\n`,
  });
  return repository;
}

async function write(repository: TestRepository, folder: string, options?: WriteOptions) {
  const opened = await Repository.open(repository.folder);
  const plan = await planMerge(opened, 'ours', 'theirs', { symbolsOf });
  return writeMerge(opened, plan, folder, options);
}

describe('a plan that is written', () => {
  it('has merged and changed files, with their modes, and a manifest that names the rest', async () => {
    const folder = path.join(newFolder(), 'deep', 'out');
    const result = await write(example(), folder);
    expect(readFileSync(path.join(folder, 'a.py'), 'utf8')).toBe(
      base.replace('return 1', 'return 10').replace('return 2', 'return 20'),
    );
    expect(lstatSync(path.join(folder, 'dir/run')).mode & 0o111).toBe(0o111);
    expect(lstatSync(path.join(folder, 'a.py')).mode & 0o111).toBe(0);
    expect(readlinkSync(path.join(folder, 'link'))).toBe('../elsewhere');
    expect(result).toMatchObject({
      written: ['a.py', 'dir/run', 'link', 'new'],
      deleted: ['gone', 'old'],
      leftOut: [{ path: 'b.py' }],
    });
    const manifest = JSON.parse(readFileSync(path.join(folder, 'merge-plan.json'), 'utf8'));
    expect(manifest).toMatchObject({ written: result.written, deleted: result.deleted, order: ['b.py'] });
    expect(existsSync(path.join(folder, 'b.py'))).toBe(false);
  });

  it('has conflicts with markers only where they are asked for', async () => {
    const folder = newFolder();
    await write(example(), folder, { withMarkers: true });
    const text = readFileSync(path.join(folder, 'b.py'), 'utf8');
    expect(text).toMatch(
      /<<<<<<< ours\n.*return 10\n\|{7} \w+\n.*return 1\n=======\n.*return 11\n>>>>>>> theirs/,
    );
  });

  it('is refused inside of the repository, around it, and through a link into it', async () => {
    const repository = example();
    const link = path.join(newFolder(), 'link');
    symlinkSync(repository.folder, link);
    const places = [
      path.join(repository.folder, 'out'),
      path.join(repository.folder, '.git', 'out'),
      path.dirname(repository.folder),
      repository.folder,
      path.join(link, 'out'),
      link,
    ];
    for (const place of places)
      await expect(write(repository, place)).rejects.toMatchObject({ code: 'MERGE_REFUSED' });
    expect(repository.git('status', '--porcelain')).toBe('');
  });

  it('is refused where something is already', async () => {
    const repository = example();
    const full = newFolder();
    writeFileSync(path.join(full, 'x'), 'mine');
    const empty = newFolder();
    const link = path.join(newFolder(), 'link');
    symlinkSync(empty, link);
    for (const place of [full, path.join(full, 'x'), link])
      await expect(write(repository, place)).rejects.toMatchObject({ code: 'MERGE_REFUSED' });
    expect(readdirSync(full)).toEqual(['x']);
    expect(readdirSync(empty)).toEqual([]);
  });

  it('does not lead out of its folder by names that only git can hold', async () => {
    const repository = new TestRepository();
    repository.commit({ a: 'a' });
    repository.branch('ours', { b: 'b' });
    const blob = repository.git('hash-object', '-w', 'a');
    const inner = repository.feed(`100644 blob ${blob}\tescaped\n`, 'mktree');
    const tree = repository.feed(`040000 tree ${inner}\t..\n100644 blob ${blob}\ta\n`, 'mktree');
    repository.git('branch', 'theirs', repository.git('commit-tree', '-p', 'main', '-m', 'bad', tree));
    const outer = newFolder();
    mkdirSync(path.join(outer, 'out'));
    const { leftOut } = await write(repository, path.join(outer, 'out'));
    expect(leftOut).toMatchObject([{ path: '../escaped' }]);
    expect(readdirSync(outer)).toEqual(['out']);
  });
});
