import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Entry } from '../../../ts/context/entry.js';
import { deleteEntries } from '../../../ts/context/entry-rows.js';
import { EntryQueries } from '../../../ts/context/query.js';
import type { EntryFilter, EntryQuery } from '../../../ts/context/query-types.js';
import type { Storage } from '../../../ts/storage/storage.js';
import type { Start } from './query.suite.js';
import { dense, Logs, noon } from './query-rig.js';

export function queryLargeSuite(where: string, start: Start): void {
  describe(`queries of larger logs ${where}`, () => {
    let logs: Logs;
    let queries: EntryQueries;
    let storage: Storage;
    let close: () => Promise<void>;

    beforeEach(async () => {
      const started = await start();
      ({ close, storage } = started);
      logs = new Logs(storage);
      await logs.migrate();
      queries = new EntryQueries(storage);
    });
    afterEach(() => close());

    describe('a dense log', () => {
      /** Pages of the entries of p that match, both ways. */
      const ask = async (query: EntryFilter, matches: (entry: Entry) => boolean) => {
        const matching = logs.entries.filter((entry) => entry.project === 'p' && matches(entry));
        const ascending = matching.sort((a, b) => a.ts - b.ts || a.line - b.line);
        await askPages({ ...query, project: 'p', order: 'asc' }, ascending);
        await askPages({ ...query, project: 'p' }, [...ascending].reverse());
      };
      const askPages = async (query: EntryQuery, all: readonly Entry[]) => {
        for (const page of [1, 2, 6, 9, Math.ceil(all.length / 40)]) {
          const { entries, total } = await queries.query({ ...query, page, pageSize: 40 });
          expect([total, entries]).toEqual([all.length, all.slice((page - 1) * 40, page * 40)]);
        }
      };

      beforeEach(() => logs.add(...Array.from({ length: 1200 }, (_, i) => dense(i))));

      it('has every page of entries of several kinds', () =>
        ask({ status: ['info', 'bug'] }, ({ status }) => status !== 'warn'));

      it('has every page of entries of several agents', () =>
        ask({ agents: ['agent-0', 'agent-1', 'agent-2'] }, ({ agent }) => agent <= 'agent-2'));

      it('has every page of entries of several categories and kinds in part of a day', () => {
        const [start, end] = [noon + 100, noon + 6_900_000];
        return ask(
          { category: ['c1', 'c2'], status: ['info', 'warn'], start, end },
          ({ category, status, ts }) =>
            (category === 'c1' || category === 'c2') && status !== 'bug' && ts >= start && ts <= end,
        );
      });

      it('has every page of a search that reads all of it', async () => {
        await ask({ message: '1' }, ({ message }) => message.includes('1'));
        await ask({ message: '[13]$', mode: 'regex' }, ({ message }) => /[13]$/.test(message));
      });
    });

    it('counts what was added since, wherever in time, and forgets a log that was purged', async () => {
      const searches = [
        { message: '1' },
        { message: '[13]$', mode: 'regex' },
        { minConfidence: 0.5 },
        { message: 'E', caseSensitive: false, status: ['info', 'bug'], start: noon + 5000 },
      ] as const;
      // One that has never searched has nothing to remember.
      const same = async (query: EntryQuery) => {
        const found = await queries.query(query);
        expect(found).toEqual(await new EntryQueries(storage).query(query));
        return found.next_cursor;
      };
      const askFor = async (search: EntryQuery) => {
        await same({ ...search, page: 2 });
        const cursor = await same(search);
        if (cursor !== null) await same({ ...search, cursor });
      };
      const ask = () =>
        Promise.all(searches.map((search) => askFor({ ...search, project: 'p', pageSize: 7 })));
      await logs.add(...Array.from({ length: 300 }, (_, i) => ({ ...dense(i), confidence: (i % 4) / 4 })));
      await ask();
      await ask();
      // In the past, in the future, in between, and elsewhere.
      await logs.add(...[-50, 9_000_000, 20].map((ms) => ({ ...dense(13), ts: noon + ms, confidence: 0.9 })));
      await logs.add({ ...dense(1), project: 'q' });
      await ask();
      await logs.add(...Array.from({ length: 40 }, (_, i) => dense(i)));
      await ask();
      await storage.write(() => deleteEntries('p'));
      logs.forget('p');
      await logs.add(...Array.from({ length: 400 }, (_, i) => dense(3 * i)));
      await ask();
    });

    it('reads a long log batch by batch', async () => {
      await logs.add(...Array.from({ length: 9000 }, () => ({})));
      const ways: [EntryQuery, RegExp][] = [
        [{ project: 'p', pageSize: 200, message: '[89]', mode: 'regex' }, /[89]/],
        [{ project: 'p', pageSize: 200, message: '7' }, /7/],
      ];
      for (const [query, expression] of ways) {
        const newestFirst = [...logs.entries].reverse().map(({ line }) => line);
        const expected = newestFirst.filter((line) => expression.test(String(line)));
        const page = await queries.query({ ...query, page: 9 });
        expect([page.total, page.entries.map(({ line }) => line)]).toEqual([
          expected.length,
          expected.slice(1600, 1800),
        ]);
        const next = await queries.query({ ...query, cursor: page.next_cursor ?? '' });
        expect([next.total, next.entries.map(({ line }) => line)]).toEqual([
          expected.length,
          expected.slice(1800, 2000),
        ]);
      }
    });

    it('reads no more of a long log than the limit asks for', async () => {
      await logs.add(...Array.from({ length: 9000 }, () => ({})));
      const query: EntryQuery = { project: 'p', message: '7$', mode: 'regex', limit: 250, pageSize: 100 };
      const sevens = logs.entries.filter(({ line }) => line % 10 === 7).reverse();
      const shown = sevens.slice(0, 250);
      const read = vi.spyOn(storage, 'read');
      let ways = [query];
      for (const page of [1, 2, 3]) {
        const entries = shown.slice((page - 1) * 100, page * 100);
        read.mockClear();
        for (const way of ways) {
          const found = await queries.query(way);
          expect(found).toMatchObject({ page, total: 250, pages: 3, has_more: page < 3 });
          expect(found.entries).toEqual(entries);
          ways = [
            { ...query, page: page + 1 },
            { ...query, cursor: found.next_cursor ?? '' },
          ];
        }
        expect(read.mock.calls.length).toBeLessThanOrEqual(14);
        // Pages go on where they were, whatever is appended.
        await logs.add({ message: 'not counted' });
      }
      expect(await queries.query({ ...query, page: 4 })).toMatchObject({ total: 250, entries: [] });
    });

    it('counts part of a day with many entries', async () => {
      await logs.add(...Array.from({ length: 9000 }, (_, i) => ({ agent: i % 3 === 0 ? 'bob' : 'ann' })));
      const ofAnn = logs.entries.filter(({ agent }) => agent === 'ann');
      for (const [start, end] of [
        [noon + 61_000, noon + 8_000_000],
        [noon + 1000, noon + 1_000_000],
        [noon - 5_000_000, noon + 8_999_000],
      ] as const) {
        const { total } = await queries.query({ project: 'p', agents: 'ann', start, end });
        expect(total).toBe(ofAnn.filter(({ ts }) => ts >= start && ts <= end).length);
      }
    });

    it('lets others have their turns while it reads a long log, and ends soon when it is cancelled', async () => {
      await logs.add(...Array.from({ length: 5000 }, () => ({})));
      let turns = 0;
      let running = true;
      const turn = () => {
        turns++;
        if (running) setImmediate(turn);
      };
      setImmediate(turn);
      const query: EntryQuery = { project: 'p', message: '9$', mode: 'regex' };
      expect((await queries.query(query)).total).toBe(500);
      expect(turns).toBeGreaterThanOrEqual(5);
      const controller = new AbortController();
      // Of one that was asked before, the total is known.
      const cancelled = queries.query({ ...query, message: '8$', signal: controller.signal });
      setImmediate(() => controller.abort());
      await expect(cancelled).rejects.toMatchObject({ code: 'CANCELLED' });
      running = false;
    });
  });
}
