import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EntryQueries } from '../../../ts/context/query.js';
import { entryIndexCheck } from '../../../ts/context/query-check.js';
import { rows, type Storage } from '../../../ts/storage/storage.js';
import type { Start } from './query.suite.js';
import { Logs } from './query-rig.js';

export function queryCheckSuite(where: string, start: Start): void {
  describe(`the check of what is derived from entries ${where}`, () => {
    let storage: Storage;
    let logs: Logs;
    let close: () => Promise<void>;

    beforeEach(async () => {
      ({ storage, close } = await start());
      logs = new Logs(storage);
      await logs.migrate();
      await logs.add(
        { message: 'Alpha', tags: ['t'], meta: { k: 'v' }, status: 'bug' },
        { message: 'Beta', category: 'c', ts: -5 },
        { project: 'q', message: 'Gamma' },
      );
    });
    afterEach(() => close());

    const damage = (sql: string) => storage.write(() => rows(sql));
    const snapshot = () =>
      storage.read(function* () {
        const tables = [];
        for (const [table, key] of [
          ['metrics', 'project'],
          ['entry_counts', 'project, facet, bucket, status, priority, emoji'],
          ['entry_terms', 'project, term, line'],
          ['entries', 'project, line'],
        ])
          tables.push(yield* rows(`SELECT * FROM ${table} ORDER BY ${key}`));
        return tables;
      });

    it('finds nothing where nothing is wrong, and changes nothing', async () => {
      const before = await snapshot();
      expect(await entryIndexCheck(storage).run(false)).toEqual([]);
      expect(await entryIndexCheck(storage).run(true)).toEqual([]);
      expect(await snapshot()).toEqual(before);
    });

    it.each([
      [
        'a wrong count',
        "UPDATE entry_counts SET n = n + 1 WHERE project = 'p' AND facet = ''",
        'counts of entries',
      ],
      ['a missing count', "DELETE FROM entry_counts WHERE project = 'p' AND facet = 'cc'", '1 are missing'],
      [
        'a count too many',
        "INSERT INTO entry_counts VALUES ('p', '', 86400000, 'info', 'low', 'x', 3)",
        '1 are wrong and 0 are missing',
      ],
      ['a missing term', "DELETE FROM entry_terms WHERE project = 'p' AND term = 'tt'", 'tags, meta'],
      ['a term too many', "INSERT INTO entry_terms VALUES ('p', 'tt', -5, 2)", 'tags, meta'],
      ['wrong figures', "UPDATE metrics SET bug = 7, head = 'x' WHERE project = 'p'", 'figures bug, head'],
      ['missing figures', "DELETE FROM metrics WHERE project = 'p'", 'figures entries'],
      ['a wrong text', "UPDATE entries SET folded = 'delta' WHERE project = 'p' AND line = 2", 'in line 2'],
    ])('finds and mends %s', async (_, sql, problem) => {
      const before = await snapshot();
      await damage(sql);
      const found = await entryIndexCheck(storage).run(false);
      expect(found[0]).toMatchObject({
        check: 'entry-index',
        subject: 'project p',
        problem: expect.stringContaining(problem),
        repair: null,
      });
      const mended = await entryIndexCheck(storage).run(true);
      expect(mended[0]).toMatchObject({ problem: found[0]?.problem, repair: expect.any(String) });
      expect(await snapshot()).toEqual(before);
      expect(await entryIndexCheck(storage).run(false)).toEqual([]);
      const { total } = await new EntryQueries(storage).query({ project: 'p', message: 'beta' });
      expect(total).toBe(1);
    });

    it('finds and mends a log whose derived rows are all gone, with the index of trigrams', async () => {
      const before = await snapshot();
      await damage('DELETE FROM entry_counts');
      await damage('DELETE FROM entry_terms');
      await damage('DELETE FROM metrics');
      if (storage.dialect === 'sqlite')
        await damage("INSERT INTO entry_text (entry_text) VALUES ('delete-all')");
      else await damage('DROP INDEX entries_folded');
      const mended = await entryIndexCheck(storage).run(true);
      expect(
        mended.map(({ subject }) => subject).filter((subject) => subject === 'all projects'),
      ).toHaveLength(1);
      expect(await snapshot()).toEqual(before);
      expect(await entryIndexCheck(storage).run(false)).toEqual([]);
      const { total } = await new EntryQueries(storage).query({ scope: 'all', message: 'amm' });
      expect(total).toBe(1);
    });
  });
}
