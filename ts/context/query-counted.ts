/** Queries that counts can answer: exact totals, and any page, without reading what is not on it. */
import { rows, type Work } from '../storage/storage.js';
import type { CheckedQuery, Conditions } from './query-arguments.js';
import {
  type Branch,
  branchesOf,
  countEntries,
  facetsFor,
  readBranches,
  type Stretch,
} from './query-branches.js';
import type { Position } from './query-cursor.js';
import { anyByDay, anyByMinute, dayMs, minuteMs } from './query-derived.js';
import { all, condition, type Dialect, kindConditions, oneOf } from './query-sql.js';

/** Which of the matching entries are wanted. */
export interface Wanted {
  readonly after: Position | undefined;
  readonly skip: number;
  readonly take: number;
}

export interface Found {
  /** Of all that match. */
  readonly total: number;
  /** Of those wanted, in order. */
  readonly positions: readonly Position[];
}

/** How many entries there are in a span of time, both ends included. */
interface Span {
  readonly fromMs: number;
  readonly toMs: number;
  readonly n: number;
}

interface Level {
  readonly lengthMs: number;
  readonly facets: readonly string[];
}

export function* findCounted(
  dialect: Dialect,
  projects: readonly string[],
  query: CheckedQuery,
  { after, skip, take }: Wanted,
): Work<Found> {
  const { conditions, descending } = query;
  if (projects.length === 0) return { total: 0, positions: [] };
  const branches: Branch[] = [];
  for (const project of projects) branches.push(...(yield* branchesOf(dialect, project, conditions)));
  const counts = new Counts(projects, conditions, branches);
  const spans = yield* counts.spans();
  const total = spans.reduce((sum, { n }) => sum + n, 0);
  const all = { fromMs: conditions.fromMs, toMs: conditions.toMs, skip, take };
  const stretch = after ? { ...all, after } : yield* counts.approach(spans, all, descending);
  const isThere = branches.length > 0 && stretch.skip < total;
  return { total, positions: isThere ? yield* readBranches(branches, stretch, descending) : [] };
}

/** The counts of one query. */
class Counts {
  readonly #projects: readonly string[];
  readonly #conditions: Conditions;
  readonly #branches: readonly Branch[];
  /** From the coarse to the fine. */
  readonly #levels: readonly Level[];

  constructor(projects: readonly string[], conditions: Conditions, branches: readonly Branch[]) {
    this.#projects = projects;
    this.#conditions = conditions;
    this.#branches = branches;
    const facets = facetsFor(conditions);
    const byDay = { lengthMs: dayMs, facets };
    const byMinute = { lengthMs: minuteMs, facets: [anyByMinute] };
    this.#levels = facets[0] === anyByDay ? [byDay, byMinute] : [byDay];
  }

  /** The time of the query in spans, in ascending order. */
  spans(): Work<Span[]> {
    return this.#within(this.#conditions.fromMs, this.#conditions.toMs, 0);
  }

  /** Shortens the way to the first entry that is wanted: starts at the span in which it lies. */
  *approach(spans: readonly Span[], stretch: Stretch, descending: boolean): Work<Stretch> {
    const [span, near] = approach(spans, stretch, descending);
    if (!span || this.#levels.length === 1 || span.toMs - span.fromMs < minuteMs) return near;
    const [, nearer] = approach(yield* this.#within(span.fromMs, span.toMs, 1), near, descending);
    return nearer;
  }

  *#within(fromMs: number, toMs: number, depth: number): Work<Span[]> {
    if (fromMs > toMs) return [];
    const level = this.#levels[depth];
    if (!level) return [{ fromMs, toMs, n: yield* countEntries(this.#branches, fromMs, toMs) }];
    const first = Math.ceil(fromMs / level.lengthMs) * level.lengthMs;
    const end = Math.floor((toMs + 1) / level.lengthMs) * level.lengthMs;
    if (first >= end) return yield* this.#within(fromMs, toMs, depth + 1);
    return [
      ...(yield* this.#within(fromMs, first - 1, depth + 1)),
      ...(yield* this.#buckets(level, first, end - 1)),
      ...(yield* this.#within(end, toMs, depth + 1)),
    ];
  }

  *#buckets({ lengthMs, facets }: Level, fromMs: number, toMs: number): Work<Span[]> {
    const { sql, params } = all(
      oneOf('project', this.#projects),
      oneOf('facet', facets),
      condition('bucket >= ? AND bucket <= ?', fromMs, toMs),
      ...kindConditions('', this.#conditions),
    );
    const found = yield* rows(
      `SELECT bucket, CAST(sum(n) AS bigint) AS n FROM entry_counts WHERE ${sql} GROUP BY bucket ORDER BY bucket`,
      ...params,
    );
    return found.map(({ bucket, n }) => ({
      fromMs: Number(bucket),
      toMs: Number(bucket) + lengthMs - 1,
      n: Number(n),
    }));
  }
}

function approach(
  spans: readonly Span[],
  stretch: Stretch,
  descending: boolean,
): [span: Span | undefined, stretch: Stretch] {
  let skip = stretch.skip;
  for (const span of descending ? [...spans].reverse() : spans) {
    if (skip < span.n) {
      const bound = descending ? { toMs: span.toMs } : { fromMs: span.fromMs };
      return [span, { ...stretch, ...bound, skip }];
    }
    skip -= span.n;
  }
  return [undefined, stretch];
}
