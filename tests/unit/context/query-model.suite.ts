import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Entry, entryPriorities, entryStatuses } from '../../../ts/context/entry.js';
import { EntryQueries } from '../../../ts/context/query.js';
import type { EntryPage, EntryQuery } from '../../../ts/context/query-types.js';
import type { Start } from './query.suite.js';
import { type Draft, Logs } from './query-rig.js';

const day = 86_400_000;
const base = Date.UTC(2026, 0, 15);
/** Near the bounds of days and minutes, and often the same. */
const time = fc
  .constantFrom(-day, -1, 0, 1, 59_999, 60_000, 90_000, day - 1, day, day + 61_000, 3 * day)
  .map((ms) => base + ms);
const words = fc.constantFrom('ab', 'AB', 'aBc', 'ÄÖ', 'äö', '%', '_', "'", '"', '\\', '\n', 'ß', 'Σ', ' ');
const text = fc.array(words, { maxLength: 4 }).map((parts) => parts.join(''));
const metaValue = fc.constantFrom(1, '1', true, 'true', null, 'x');
const few = <T>(one: fc.Arbitrary<T>) => fc.uniqueArray(one, { minLength: 1, maxLength: 3 });

const draft: fc.Arbitrary<Draft> = fc.record(
  {
    project: fc.constantFrom('p', 'p', 'q', 'é'),
    ts: time,
    status: fc.constantFrom(...entryStatuses),
    priority: fc.constantFrom(...entryPriorities),
    emoji: fc.constantFrom('✅', '🚀'),
    agent: fc.constantFrom('ann', 'bob', 'cy'),
    category: fc.constantFrom(null, 'a', 'b'),
    tags: fc.array(fc.constantFrom('t', 'u', 'v'), { maxLength: 3 }),
    confidence: fc.constantFrom(null, 0, 0.5, 1),
    message: text,
    meta: fc.dictionary(fc.constantFrom('k', 'l'), metaValue),
  },
  { requiredKeys: ['project', 'ts', 'message'] },
);

const query: fc.Arbitrary<EntryQuery> = fc
  .record(
    {
      scope: fc.constantFrom('project', 'all'),
      start: time,
      end: time,
      message: text,
      mode: fc.constantFrom('substring', 'exact'),
      caseSensitive: fc.boolean(),
      status: few(fc.constantFrom(...entryStatuses)),
      priority: few(fc.constantFrom(...entryPriorities)),
      emoji: few(fc.constantFrom('✅', '🚀', 'ℹ️')),
      agents: few(fc.constantFrom('ann', 'bob', 'nobody')),
      category: few(fc.constantFrom('a', 'b', 'c')),
      tags: few(fc.constantFrom('t', 'u', 'w')),
      meta: fc.dictionary(fc.constantFrom('k', 'l'), metaValue, { maxKeys: 2 }),
      minConfidence: fc.constantFrom(0, 0.5, 1),
      order: fc.constantFrom('desc', 'asc'),
      pageSize: fc.integer({ min: 1, max: 9 }),
      limit: fc.integer({ min: 1, max: 30 }),
    },
    { requiredKeys: [] },
  )
  .map(({ start, end, ...rest }) => {
    const [first, last] = start && end && start > end ? [end, start] : [start, end];
    const bounds = { ...(first && { start: first }), ...(last && { end: last }) };
    return { ...rest, ...bounds, ...(rest.scope === 'all' ? {} : { project: 'p' }) } as EntryQuery;
  });

/** As one would filter an array. */
function matches(entry: Entry, asked: EntryQuery): boolean {
  const isIn = (values: unknown, value: unknown) =>
    values === undefined || (values as unknown[]).includes(value);
  const asText = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value));
  return (
    (asked.scope === 'all' || entry.project === 'p') &&
    entry.ts >= Number(asked.start ?? entry.ts) &&
    entry.ts <= Number(asked.end ?? entry.ts) &&
    isIn(asked.status, entry.status) &&
    isIn(asked.priority, entry.priority) &&
    isIn(asked.emoji, entry.emoji) &&
    isIn(asked.agents, entry.agent) &&
    isIn(asked.category, entry.category) &&
    (asked.tags === undefined || entry.tags.some((tag) => isIn(asked.tags, tag))) &&
    Object.entries(asked.meta ?? {}).every(
      ([key, value]) => key in entry.meta && asText(entry.meta[key]) === asText(value),
    ) &&
    (asked.minConfidence === undefined || (entry.confidence ?? -1) >= asked.minConfidence) &&
    hasText(entry.message, asked)
  );
}

function hasText(message: string, { message: wanted, mode, caseSensitive }: EntryQuery): boolean {
  if (wanted === undefined) return true;
  const plain = (some: string) => (caseSensitive ? some : some.toUpperCase());
  return mode === 'exact' ? plain(message) === plain(wanted) : plain(message).includes(plain(wanted));
}

function inOrder(entries: Entry[], order: EntryQuery['order']): Entry[] {
  const ascending = entries.sort(
    (a, b) =>
      a.ts - b.ts || a.line - b.line || Buffer.compare(Buffer.from(a.project), Buffer.from(b.project)),
  );
  return order === 'asc' ? ascending : ascending.reverse();
}

export function queryModelSuite(where: string, start: Start, runs: number): void {
  describe(`any query of any log ${where}`, () => {
    it('finds what a filter over all entries finds, by pages and by cursors', async () => {
      const { storage, close } = await start();
      const logs = new Logs(storage);
      await logs.migrate();
      const queries = new EntryQueries(storage);
      /** Page by page. */
      const follow = async (asked: EntryQuery, next: (page: EntryPage) => Partial<EntryQuery>) => {
        const found: unknown[] = [];
        let page = await queries.query(asked);
        while (true) {
          found.push(...page.entries);
          if (!page.has_more) return { found, total: page.total };
          page = await queries.query({ ...asked, ...next(page) });
        }
      };
      await fc.assert(
        fc.asyncProperty(
          fc.array(draft, { maxLength: 25 }),
          fc.array(query, { minLength: 8, maxLength: 8 }),
          async (drafts, asked) => {
            await logs.clear();
            await logs.add(...drafts);
            for (const one of asked) {
              const all = inOrder(
                logs.entries.filter((entry) => matches(entry, one)),
                one.order,
              );
              const expected = all.slice(0, one.limit);
              const answer = { found: expected, total: expected.length };
              expect(await follow(one, ({ next_cursor }) => ({ cursor: next_cursor ?? '' }))).toEqual(answer);
              expect(await follow(one, ({ page }) => ({ page: page + 1 }))).toEqual(answer);
            }
          },
        ),
        { numRuns: runs },
      );
      await close();
    });
  });
}
