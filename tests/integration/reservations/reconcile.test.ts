import { describe, expect, it } from 'vitest';
import { Repository } from '../../../ts/reservations/git/repository.js';
import { type ReconcileOptions, reconcile } from '../../../ts/reservations/merge/reconcile.js';
import { symbolsOf } from '../../unit/reservations/read-files.js';
import { TestRepository } from './repositories.js';

const fn = (name: string, value: number) => `def ${name}():\n    return ${value}\n`;
const file = (one: number, two: number) => `${fn('one', one)}\n\n${fn('two', two)}`;

function example(): TestRepository {
  const repository = new TestRepository();
  repository.commit({ 'a.py': file(1, 1), 'b.py': fn('b', 1) });
  // Busy is against two others, who are not against each other.
  repository.branch('busy', { 'a.py': file(5, 5) });
  repository.branch('one', { 'a.py': file(2, 1) });
  repository.branch('two', { 'a.py': file(1, 2) });
  return repository;
}

async function run(repository: TestRepository, options: Partial<ReconcileOptions> = {}) {
  const opened = await Repository.open(repository.folder);
  return reconcile(opened, { symbolsOf, ...options });
}

describe('an order of branches', () => {
  it('has the one in most conflicts last, with those whom it conflicts with', async () => {
    const { into, order, pairs } = await run(example());
    expect(into.ref).toBe('main');
    expect(order.map(({ branch, conflicts }) => [branch, conflicts])).toEqual([
      ['one', 0],
      ['two', 0],
      ['busy', 2],
    ]);
    expect(order[2]).toMatchObject({
      conflictsWith: ['one', 'two'],
      reason: expect.stringContaining('one, two'),
    });
    expect(pairs).toHaveLength(6);
  });

  it('is the same every time', async () => {
    const repository = example();
    expect(await run(repository)).toEqual(await run(repository));
  });

  it('has a branch after the one that it was begun from', async () => {
    const repository = example();
    repository.branch('early', { 'c.py': fn('c', 2) }, 'two');
    const names = (await run(repository)).order.map(({ branch }) => branch);
    expect(names.indexOf('two')).toBeLessThan(names.indexOf('early'));
  });

  it('leaves out what is merged already, and takes only those that are named', async () => {
    const repository = example();
    repository.git('branch', 'done', 'main');
    expect((await run(repository)).skipped).toMatchObject([{ branch: 'done' }]);
    const named = await run(repository, { branches: ['two', 'busy'], into: 'one' });
    expect(named.order.map(({ branch }) => branch)).toEqual(['two', 'busy']);
    expect(named.into.ref).toBe('one');
    await expect(run(repository, { branches: ['nobody'] })).rejects.toMatchObject({ code: 'UNKNOWN_REF' });
  });

  it('is refused for more branches than can be planned', async () => {
    const repository = example();
    const id = repository.git('rev-parse', 'one');
    for (let i = 0; i < 41; i++) repository.git('update-ref', `refs/heads/many/${i}`, id);
    await expect(run(repository)).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
  });
});
