import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Entry } from '../../../ts/context/entry.js';
import { EntryQueries } from '../../../ts/context/query.js';
import type { EntryFilter, EntryPage, EntryQuery } from '../../../ts/context/query-types.js';
import type { StompError } from '../../../ts/errors.js';
import type { Storage } from '../../../ts/storage/storage.js';
import { Logs, noon } from './query-rig.js';

/** A new database. */
export type Start = () => Promise<{ storage: Storage; close: () => Promise<void> }>;

export function querySuite(where: string, start: Start): void {
  describe(`queries of the progress log ${where}`, () => {
    let logs: Logs;
    let queries: EntryQueries;
    let close: () => Promise<void>;

    beforeEach(async () => {
      const started = await start();
      close = started.close;
      logs = new Logs(started.storage);
      await logs.migrate();
      queries = new EntryQueries(started.storage);
    });
    afterEach(() => close());

    const linesOf = (page: EntryPage) => page.entries.map(({ line }) => line);
    /** Lines in ascending order of what matches in project p. */
    const lines = async (filter: EntryFilter) => {
      const page = await queries.query({ project: 'p', order: 'asc', pageSize: 200, ...filter });
      expect(page.total).toBe(page.entries.length);
      return linesOf(page);
    };
    const refused = (query: unknown) =>
      queries.query(query as EntryQuery).then(
        () => expect.fail('was accepted'),
        ({ code, message, fields }: StompError) => ({ code, message, fields }),
      );
    const addMany = (n: number) => logs.add(...Array.from({ length: n }, () => ({})));

    describe('pages', () => {
      it('gives 5 rows of 25 on page 3 of 10, and says that there are 25', async () => {
        await addMany(25);
        const page = await queries.query({ project: 'p', page: 3, pageSize: 10 });
        expect(linesOf(page)).toEqual([5, 4, 3, 2, 1]);
        expect(page).toMatchObject({ page: 3, page_size: 10, total: 25, pages: 3, has_more: false });
        expect(page.next_cursor).toBeNull();
      });

      it('gives entries back as they went in', async () => {
        const [entry] = await logs.add({
          session_id: 's',
          status: 'bug',
          emoji: '🚀',
          priority: 'critical',
          category: 'build',
          tags: ['b', 'a', 'a'],
          confidence: 0.25,
          message: 'a | b; "c" \'d\' 100% _x\\\nexample',
          meta: { a: 1, b: [null, { c: 'd' }] },
          token: '9007199254740993',
        });
        expect((await queries.query({ project: 'p' })).entries).toEqual([entry]);
      });

      it('sorts by time, then by line, one way or the other', async () => {
        await logs.add({ ts: 5 }, { ts: 7 }, { ts: 5 }, { ts: -3 }, { ts: 7 });
        expect(linesOf(await queries.query({ project: 'p' }))).toEqual([5, 2, 3, 1, 4]);
        expect(linesOf(await queries.query({ project: 'p', order: 'asc' }))).toEqual([4, 1, 3, 2, 5]);
      });

      it('has no entries beyond the last page, and none of a project that nobody has written about', async () => {
        await addMany(3);
        const beyond = await queries.query({ project: 'p', page: 9, pageSize: 2 });
        expect(beyond).toMatchObject({ entries: [], page: 9, total: 3, pages: 2, has_more: false });
        expect(await queries.query({ project: 'q' })).toMatchObject({ entries: [], total: 0, pages: 0 });
        expect(await queries.query({ project: 'q', message: 'x' })).toMatchObject({ entries: [], total: 0 });
      });

      it('ends at the limit', async () => {
        await addMany(9);
        const query = { project: 'p', limit: 5, pageSize: 3 };
        const first = await queries.query(query);
        expect(first).toMatchObject({ total: 5, pages: 2, has_more: true });
        const second = await queries.query({ ...query, page: 2 });
        expect(linesOf(second)).toEqual([6, 5]);
        expect(second).toMatchObject({ has_more: false, next_cursor: null });
        expect(await queries.query({ ...query, cursor: first.next_cursor ?? '' })).toEqual(second);
        expect((await queries.query({ ...query, page: 3 })).entries).toEqual([]);
      });

      it('gives only the fields that are asked for', async () => {
        await addMany(2);
        const page = await queries.query({ project: 'p', fields: ['line', 'message'], order: 'asc' });
        expect(page.entries).toEqual([
          { line: 1, message: 'message 1' },
          { line: 2, message: 'message 2' },
        ]);
        expect((await queries.query({ project: 'p', fields: 'id' })).entries[0]).toEqual({ id: 'p-2' });
      });

      it.each([
        ['counted', {}],
        ['narrowed by trigrams', { message: 'message' }],
        ['read in order', { message: 'm.*e', mode: 'regex' as const }],
      ])(
        'follows cursors to the end without a gap, whatever is appended meanwhile: %s',
        async (_, filter) => {
          await addMany(7);
          const seen: unknown[] = [];
          let cursor: string | null | undefined;
          let pages = 0;
          while (cursor !== null) {
            const query: EntryQuery = { project: 'p', pageSize: 3, ...filter, ...(cursor ? { cursor } : {}) };
            const page = await queries.query(query);
            seen.push(...linesOf(page));
            cursor = page.next_cursor;
            expect(page.page).toBe(++pages);
            await logs.add({});
          }
          expect(seen).toEqual([7, 6, 5, 4, 3, 2, 1]);
        },
      );

      it('refuses cursors that are none, of another query, or with a page', async () => {
        await addMany(3);
        const { next_cursor } = await queries.query({ project: 'p', pageSize: 1 });
        const cursor = next_cursor ?? '';
        for (const query of [
          { project: 'p', pageSize: 2, cursor },
          { project: 'q', pageSize: 1, cursor },
          { project: 'p', pageSize: 1, order: 'asc', cursor },
          { project: 'p', pageSize: 1, status: 'info', cursor },
          { project: 'p', pageSize: 1, page: 2, cursor },
          { project: 'p', pageSize: 1, cursor: 'abc' },
          { project: 'p', pageSize: 1, cursor: '' },
          { project: 'p', pageSize: 1, cursor: null },
        ])
          expect(await refused(query)).toMatchObject({
            code: 'INVALID_REQUEST',
            fields: { field: 'cursor' },
          });
        expect(linesOf(await queries.query({ project: 'p', pageSize: 1, fields: ['line'], cursor }))).toEqual(
          [2],
        );
      });

      it('sees all projects, sorted by time, line and name', async () => {
        await logs.add(
          { project: 'é', ts: 1 },
          { project: '😀', ts: 1 },
          { project: 'z', ts: 1 },
          { project: '\uffee', ts: 1 },
          { project: 'z', ts: 0 },
        );
        const names = (page: EntryPage) => page.entries.map(({ project, line }) => `${project}${line}`);
        const all = ['z2', 'z1', 'é1', '\uffee1', '😀1'];
        expect(names(await queries.query({ scope: 'all', order: 'asc' }))).toEqual(all);
        expect(names(await queries.query({ scope: 'all' }))).toEqual([...all].reverse());
        expect(names(await queries.query({ scope: 'all', message: 'message', order: 'asc' }))).toEqual(all);
        const one = await queries.query({ scope: 'all', pageSize: 2, status: 'info' });
        expect(names(one)).toEqual(['😀1', '\uffee1']);
        const two = await queries.query({
          scope: 'all',
          pageSize: 2,
          status: 'info',
          cursor: one.next_cursor ?? '',
        });
        expect(names(two)).toEqual(['é1', 'z1']);
        expect(two).toMatchObject({ total: 5, has_more: true, page: 2 });
      });
    });

    describe('conditions', () => {
      it('filters by status, priority, emoji, agent and category, one or several', async () => {
        await logs.add(
          { status: 'success', agent: 'ann', category: 'a' },
          { status: 'bug', agent: 'bob', category: 'b', priority: 'critical' },
          { status: 'success', agent: 'bob', emoji: '🚀' },
          { status: 'plan', agent: 'cy', category: 'a' },
        );
        expect(await lines({ status: ['success'] })).toEqual([1, 3]);
        expect(await lines({ status: ['success', 'plan'] })).toEqual([1, 3, 4]);
        expect(await lines({ status: [] })).toEqual([1, 2, 3, 4]);
        expect(await lines({ priority: 'critical' })).toEqual([2]);
        expect(await lines({ priority: ['medium', 'low'] })).toEqual([1, 3, 4]);
        expect(await lines({ emoji: '🚀' })).toEqual([3]);
        expect(await lines({ agents: 'bob' })).toEqual([2, 3]);
        expect(await lines({ agents: ['bob', 'cy'], status: 'success' })).toEqual([3]);
        expect(await lines({ category: ['a', 'b'] })).toEqual([1, 2, 4]);
        expect(await lines({ category: 'a', agents: 'cy' })).toEqual([4]);
        expect(await lines({ category: 'a', agents: ['ann', 'bob'], status: 'success' })).toEqual([1]);
        expect(await lines({ agents: 'nobody' })).toEqual([]);
        expect(await lines({ status: 'warn' })).toEqual([]);
      });

      it('filters by tags, any of them, alone and with other conditions', async () => {
        const long = 'x'.repeat(3000);
        await logs.add(
          { tags: ['a', 'b', 'b'] },
          { tags: ['b'], status: 'warn' },
          { tags: ['c'], agent: 'bob' },
          { tags: [long] },
          {},
        );
        expect(await lines({ tags: 'b' })).toEqual([1, 2]);
        expect(await lines({ tags: ['a', 'b', 'c'] })).toEqual([1, 2, 3]);
        expect(await lines({ tags: 'b', status: 'warn' })).toEqual([2]);
        expect(await lines({ tags: ['b', 'c'], agents: 'bob' })).toEqual([3]);
        expect(await lines({ tags: long })).toEqual([4]);
        expect(await lines({ tags: 'nothing' })).toEqual([]);
      });

      it('filters by meta: every key, by the text of its value', async () => {
        await logs.add(
          { meta: { n: 1, ok: true, deep: { b: 1, a: [2] } } },
          { meta: { n: '1', none: null } },
          { meta: { n: '01', ok: 'true' } },
        );
        expect(await lines({ meta: { n: '1' } })).toEqual([1, 2]);
        expect(await lines({ meta: { n: 1 } })).toEqual([1, 2]);
        expect(await lines({ meta: { n: '1', ok: true } })).toEqual([1]);
        expect(await lines({ meta: { ok: 'true' } })).toEqual([1, 3]);
        expect(await lines({ meta: { none: null } })).toEqual([2]);
        expect(await lines({ meta: { deep: { a: [2], b: 1 } } })).toEqual([1]);
        expect(await lines({ meta: { m: '1' } })).toEqual([]);
        expect(await lines({ meta: {} })).toEqual([1, 2, 3]);
      });

      it('filters by confidence; without one there is less than any', async () => {
        await logs.add({ confidence: 0.5 }, { confidence: 0.75 }, {}, { confidence: 0 });
        expect(await lines({ minConfidence: 0.5 })).toEqual([1, 2]);
        expect(await lines({ minConfidence: 0 })).toEqual([1, 2, 4]);
        expect(await lines({ minConfidence: 1 })).toEqual([]);
      });

      it('takes days as whole days, both ends included', async () => {
        await logs.add(
          { ts: Date.UTC(2026, 0, 14, 23, 59, 59, 999) },
          { ts: Date.UTC(2026, 0, 15) },
          { ts: Date.UTC(2026, 0, 15, 23, 59, 59, 999) },
          { ts: Date.UTC(2026, 0, 16) },
        );
        expect(await lines({ start: '2026-01-15', end: '2026-01-15' })).toEqual([2, 3]);
        expect(await lines({ start: '2026-01-15' })).toEqual([2, 3, 4]);
        expect(await lines({ end: '2026-01-15' })).toEqual([1, 2, 3]);
        expect(await lines({ start: '2026-01-15', end: '2026-01-16', agents: 'ann' })).toEqual([2, 3, 4]);
      });

      it('takes moments with or without an offset, and milliseconds', async () => {
        await logs.add({ ts: noon }, { ts: noon + 1 }, { ts: noon + 999 }, { ts: noon + 1000 });
        expect(await lines({ start: noon, end: noon })).toEqual([1]);
        expect(await lines({ start: noon + 1, end: noon + 999 })).toEqual([2, 3]);
        expect(await lines({ end: '2026-01-15T12:00:00Z' })).toEqual([1, 2, 3]);
        expect(await lines({ end: '2026-01-15 12:00:00 UTC' })).toEqual([1, 2, 3]);
        expect(await lines({ end: '2026-01-15T13:00:00.001+01:00' })).toEqual([1, 2]);
        expect(await lines({ start: '2026-01-15T12:00:00.001' })).toEqual([2, 3, 4]);
        expect(await lines({ start: '2026-01-15T12:00', end: '2026-01-15T12:00' })).toEqual([1, 2, 3, 4]);
      });
    });

    describe('messages', () => {
      it('finds any part of any text', async () => {
        const texts = [
          'for example this',
          '100% sure',
          'a_b',
          '"quoted" \'too\'',
          'two\nlines',
          'back\\slash',
          '',
          '*?[x]',
        ];
        await logs.add(...texts.map((message) => ({ message })));
        const parts = [
          'example',
          '0%',
          '%',
          '_b',
          'a_b',
          '"quoted" \'',
          "'",
          'o\nl',
          '\\',
          'k\\s',
          '*?[',
          '[',
          'zzz',
        ];
        for (const part of parts) {
          const expected = texts.flatMap((text, i) => (text.includes(part) ? [i + 1] : []));
          expect([part, await lines({ message: part })]).toEqual([part, expected]);
          expect([part, await lines({ message: part, caseSensitive: true })]).toEqual([part, expected]);
        }
        expect(await lines({ message: '' })).toHaveLength(texts.length);
        expect(await lines({ message: '', mode: 'exact' })).toEqual([7]);
        expect(await lines({ message: 'a_b', mode: 'exact' })).toEqual([3]);
        expect(await lines({ message: 'a_', mode: 'exact' })).toEqual([]);
      });

      it('finds letters of either case in all scripts unless it is told not to', async () => {
        await logs.add(
          { message: 'ÄPFEL' },
          { message: 'äpfel' },
          { message: 'ΟΔΟΣ' },
          { message: 'οδος' },
          { message: 'ПРИВЕТ' },
          { message: 'STRASSE' },
          { message: 'straße' },
          { message: '𐐀𐐁𐐂' },
        );
        expect(await lines({ message: 'äPf' })).toEqual([1, 2]);
        expect(await lines({ message: 'äpf', caseSensitive: true })).toEqual([2]);
        expect(await lines({ message: 'ς' })).toEqual([3, 4]);
        expect(await lines({ message: 'δοσ' })).toEqual([3, 4]);
        expect(await lines({ message: 'привет', mode: 'exact' })).toEqual([5]);
        expect(await lines({ message: 'привет', mode: 'exact', caseSensitive: true })).toEqual([]);
        expect(await lines({ message: 'ße' })).toEqual([6, 7]);
        expect(await lines({ message: '𐐨𐐩𐐪' })).toEqual([8]);
        expect(await lines({ message: '𐐩' })).toEqual([8]);
        expect(await lines({ message: 'ÄPF', mode: 'regex' })).toEqual([1, 2]);
        expect(await lines({ message: 'ÄPF', mode: 'regex', caseSensitive: true })).toEqual([1]);
      });

      it('matches regular expressions anywhere, with other conditions', async () => {
        await logs.add(
          { message: 'a1' },
          { message: 'b22', agent: 'bob' },
          { message: 'c', tags: ['t'] },
          { message: 'x\ny' },
        );
        expect(await lines({ message: '\\d', mode: 'regex' })).toEqual([1, 2]);
        expect(await lines({ message: '^\\w\\d+$', mode: 'regex', agents: 'bob' })).toEqual([2]);
        expect(await lines({ message: 'c|d', mode: 'regex', tags: 't' })).toEqual([3]);
        expect(await lines({ message: 'a', mode: 'regex', tags: 't' })).toEqual([]);
        expect(await lines({ message: '(?m)^y$', mode: 'regex' })).toEqual([4]);
        expect(await lines({ message: '', mode: 'regex' })).toEqual([1, 2, 3, 4]);
      });

      it('says why something is no regular expression, and where', async () => {
        expect(await refused({ project: 'p', message: 'abc[z-a]', mode: 'regex' })).toMatchObject({
          code: 'INVALID_REQUEST',
          message: expect.stringContaining('invalid character class range at character 5'),
          fields: {
            field: 'message',
            value: 'abc[z-a]',
            reason: 'invalid character class range',
            position: 4,
          },
        });
        for (const message of ['(', '*', '(?=x)', '\\1', 'a{1001}', 'x'.repeat(1001), '((a{100}){100}){100}'])
          expect(await refused({ project: 'p', message, mode: 'regex' })).toMatchObject({
            code: 'INVALID_REQUEST',
            fields: { field: 'message' },
          });
      });

      it('takes time in proportion for expressions that are catastrophic elsewhere', async () => {
        await logs.add({ message: `${'a'.repeat(5000)}!` });
        expect(await lines({ message: '^(a+)+$', mode: 'regex' })).toEqual([]);
      });

      it('ends when it is cancelled', async () => {
        await addMany(5);
        const controller = new AbortController();
        const query = { project: 'p', message: 'x', mode: 'regex' as const, signal: controller.signal };
        const running = queries.query(query);
        controller.abort();
        await expect(running).rejects.toMatchObject({ code: 'CANCELLED' });
        await expect(queries.query(query)).rejects.toMatchObject({ code: 'CANCELLED' });
      });
    });

    describe('arguments', () => {
      it.each([
        [{}, 'project'],
        [{ project: '' }, 'project'],
        [{ project: 'p', scope: 'all' }, 'project'],
        [{ project: 'p', scope: 'some' }, 'scope'],
        [{ project: 'p\0' }, 'project'],
        [{ project: '\ud800' }, 'project'],
        [{ project: 'p', status: 'good' }, 'status'],
        [{ project: 'p', status: ['info', 7] }, 'status'],
        [{ project: 'p', status: null }, 'status'],
        [{ project: 'p', priority: 'urgent' }, 'priority'],
        [{ project: 'p', agents: [{}] }, 'agents'],
        [{ project: 'p', agents: [Symbol('x')] }, 'agents'],
        [{ project: 'p', tags: new Array(101).fill('x') }, 'tags'],
        [{ project: 'p', category: 'x'.repeat(10_001) }, 'category'],
        [{ project: 'p', meta: [] }, 'meta'],
        [{ project: 'p', meta: { f: () => 1 } }, 'meta.f'],
        [{ project: 'p', meta: { f: Number.NaN } }, 'meta.f'],
        [{ project: 'p', minConfidence: 1.5 }, 'minConfidence'],
        [{ project: 'p', minConfidence: '1' }, 'minConfidence'],
        [{ project: 'p', message: 5 }, 'message'],
        [{ project: 'p', message: 'a\0' }, 'message'],
        [{ project: 'p', message: 'a', mode: 'like' }, 'mode'],
        [{ project: 'p', caseSensitive: 'yes' }, 'caseSensitive'],
        [{ project: 'p', start: 'yesterday' }, 'start'],
        [{ project: 'p', start: '2026-02-30' }, 'start'],
        [{ project: 'p', end: '2026-01-01T25:00' }, 'end'],
        [{ project: 'p', end: '2026-01-01T10:00:00 CET' }, 'end'],
        [{ project: 'p', end: 1.5 }, 'end'],
        [{ project: 'p', start: '2026-01-02', end: '2026-01-01' }, 'start'],
        [{ project: 'p', order: 'up' }, 'order'],
        [{ project: 'p', page: 0 }, 'page'],
        [{ project: 'p', page: 1.5 }, 'page'],
        [{ project: 'p', pageSize: 201 }, 'pageSize'],
        [{ project: 'p', limit: 0 }, 'limit'],
        [{ project: 'p', fields: ['line', 'folded'] }, 'fields'],
        [{ project: 'p', signal: {} }, 'signal'],
      ])('refuses %o, naming %s', async (query, field) => {
        expect(await refused(query)).toMatchObject({ code: 'INVALID_REQUEST', fields: { field } });
      });

      it('names what there is when a status or a priority does not exist', async () => {
        const { message, fields } = await refused({ project: 'p', status: 'good' });
        expect(message).toContain('info, success, warn, error, bug, plan');
        expect(fields).toMatchObject({ value: 'good' });
        expect((await refused({ project: 'p', priority: 'x' })).message).toContain(
          'low, medium, high, critical',
        );
      });

      it('refuses fields that it does not know', async () => {
        for (const query of [
          { project: 'p', search_scope: 1 },
          { project: 'p', n: 2 },
        ])
          expect(await refused(query)).toMatchObject({ code: 'UNSUPPORTED_FIELD' });
        for (const query of [5, null, undefined, []])
          expect(await refused(query)).toMatchObject({ code: 'INVALID_REQUEST', fields: { field: 'query' } });
        const filter = { project: 'q' } as EntryFilter;
        await expect(queries.recent({ project: 'p', filter })).rejects.toMatchObject({
          code: 'UNSUPPORTED_FIELD',
        });
      });
    });

    describe('recent entries', () => {
      it('gives the newest n', async () => {
        await addMany(5);
        const two = await queries.recent({ project: 'p', n: 2 });
        expect(linesOf(two)).toEqual([5, 4]);
        expect(two).toMatchObject({ total: 5, page_size: 2, pages: 3, has_more: true });
        expect(await queries.recent({ project: 'p', limit: 2 })).toEqual(two);
        expect(linesOf(await queries.recent({ project: 'p', limit: 2, page: 3 }))).toEqual([1]);
        const cut = await queries.recent({ project: 'p', limit: 2, pageSize: 5 });
        expect(cut).toMatchObject({ total: 2, pages: 1, has_more: false });
      });

      it('gives as many on one page as are asked for, up to 200', async () => {
        await addMany(210);
        expect((await queries.recent({ project: 'p', n: 150 })).entries).toHaveLength(150);
        const most = await queries.recent({ project: 'p', n: 300 });
        expect(most.entries).toHaveLength(200);
        expect(most).toMatchObject({ total: 210, pages: 2, has_more: true });
        expect((await queries.recent({ project: 'p' })).entries).toHaveLength(50);
        await expect(queries.recent({ project: 'p', n: 'x' } as never)).rejects.toMatchObject({
          fields: { field: 'limit' },
        });
      });

      it('pages and filters as queries do', async () => {
        await logs.add({ status: 'bug' }, {}, { status: 'bug' }, { status: 'bug' });
        const page = await queries.recent({ project: 'p', page: 2, pageSize: 2, filter: { status: 'bug' } });
        expect(linesOf(page)).toEqual([1]);
        expect(page.total).toBe(3);
        await expect(queries.recent({ project: 'p', n: 1, limit: 2 })).rejects.toMatchObject({
          code: 'INVALID_REQUEST',
          fields: { field: 'n' },
        });
      });
    });

    it('gives a page of one state of the log', async () => {
      await addMany(3);
      const [page] = await Promise.all([queries.query({ project: 'p' }), logs.add({}, {})]);
      const ids: (keyof Entry)[] = ['line'];
      expect(page.total).toBe(page.entries.length);
      expect((await queries.query({ project: 'p', fields: ids })).total).toBe(5);
    });
  });
}
