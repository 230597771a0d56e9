/**
 * The rows of `entry_counts` and `entry_terms` that belong to entries.
 *
 * A facet is what entries of a count have in common besides their time and kind (status, priority, emoji): nothing, an
 * agent, a category, both, or a tag. Counts are by day; those of no facet also by minute.
 */
import { createHash } from 'node:crypto';
import { rows, type SqlValue, type Work } from '../storage/storage.js';
import type { Entry, MetaValue } from './entry.js';
import { fold } from './query-fold.js';

export const dayMs = 86_400_000;
export const minuteMs = 60_000;

/** No facet by day, and by minute. */
export const anyByDay = '';
export const anyByMinute = 'm';
export const agentFacet = (agent: string): string => `a${short(agent)}`;
export const categoryFacet = (category: string): string => `c${short(category)}`;
export const bothFacet = (agent: string, category: string): string =>
  `b${short(JSON.stringify([agent, category]))}`;
export const tagFacet = (tag: string): string => `t${short(tag)}`;

export const tagTerm = (tag: string): string => `t${short(tag)}`;
export const metaTerm = (key: string, text: string): string => `m${short(JSON.stringify([key, text]))}`;
/** @param folded the whole message without case */
export const messageTerm = (folded: string): string => `x${digest(folded).slice(0, 16)}`;

/** Long ones by their digest: an index has no room for them. */
function short(text: string): string {
  return text.length <= 60 ? text : digest(text);
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** What values of meta are compared by. */
export function metaText(value: MetaValue): string {
  return typeof value === 'string' ? value : JSON.stringify(sorted(value));
}

function sorted(value: MetaValue): MetaValue {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const keys = Object.keys(value).sort();
  return Object.fromEntries(keys.map((key) => [key, sorted(value[key] ?? null)]));
}

function termsOf(entry: Entry): string[] {
  const meta = Object.entries(entry.meta).map(([key, value]) => metaTerm(key, metaText(value)));
  return [...new Set([messageTerm(fold(entry.message)), ...entry.tags.map(tagTerm), ...meta])];
}

/** Rows of `entry_terms` for an entry. */
export function termRowsOf(entry: Entry): SqlValue[][] {
  return termsOf(entry).map((term) => [entry.project, term, entry.ts, entry.line]);
}

/** Each facet of an entry with the bucket in which it counts. */
function facetsOf(entry: Entry): [facet: string, bucket: number][] {
  const day = Math.floor(entry.ts / dayMs) * dayMs;
  const { agent, category } = entry;
  const facets = [anyByDay, agentFacet(agent), ...new Set(entry.tags.map(tagFacet))];
  if (category !== null) facets.push(categoryFacet(category), bothFacet(agent, category));
  const minute = Math.floor(entry.ts / minuteMs) * minuteMs;
  return [...facets.map((facet): [string, number] => [facet, day]), [anyByMinute, minute]];
}

/** Rows of `entry_counts` for entries of one project, in the order of their key: `[...key, n]`. */
export function countsOf(entries: readonly Entry[]): SqlValue[][] {
  const counts = new Map<string, SqlValue[]>();
  for (const entry of entries) {
    for (const [facet, bucket] of facetsOf(entry)) {
      const cell = [entry.project, facet, bucket, entry.status, entry.priority, entry.emoji];
      const key = JSON.stringify(cell);
      const known = counts.get(key);
      if (known) known[6] = Number(known[6]) + 1;
      else counts.set(key, [...cell, 1]);
    }
  }
  return [...counts.values()];
}

/** Adds what is derived from entries of one project that have just been added. */
export function* addDerived(entries: readonly Entry[]): Work<void> {
  yield* addTerms(entries);
  yield* addCounts(countsOf(entries));
}

export function addTerms(entries: readonly Entry[]): Work<void> {
  return insertRows('entry_terms', 'project, term, ts, line', entries.flatMap(termRowsOf));
}

export function addCounts(counts: readonly SqlValue[][]): Work<void> {
  const key = 'project, facet, bucket, status, priority, emoji';
  const add = `ON CONFLICT (${key}) DO UPDATE SET n = entry_counts.n + excluded.n`;
  return insertRows('entry_counts', `${key}, n`, counts, add);
}

// Few different statements, whatever the number of rows: each is prepared once.
const sizes = [64, 16];

/** Inserts rows, many with one statement. */
export function* insertRows(
  table: string,
  columns: string,
  values: readonly (readonly SqlValue[])[],
  end = '',
): Work<void> {
  for (let from = 0; from < values.length; ) {
    const left = values.length - from;
    const size = sizes.find((some) => some <= left) ?? left;
    const some = values.slice(from, from + size);
    const row = `(${some[0]?.map(() => '?').join(', ')})`;
    yield* rows(
      `INSERT INTO ${table} (${columns}) VALUES ${some.map(() => row).join(', ')} ${end}`,
      ...some.flat(),
    );
    from += size;
  }
}
