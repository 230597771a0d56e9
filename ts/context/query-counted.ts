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

const anyMinute: Level = { lengthMs: minuteMs, facets: [anyByMinute] };
const littleToSkip = 200;
// Looking where they are costs as much.
const fewToCount = 5000;

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
  const total = sum(spans);
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
    this.#levels = facets[0] === anyByDay ? [byDay, anyMinute] : [byDay];
  }

  /** The time of the query in spans, in ascending order. */
  spans(): Work<Span[]> {
    return this.#within(this.#conditions.fromMs, this.#conditions.toMs, 0);
  }

  /** Shortens the way to the first entry that is wanted: starts near to where it lies. */
  *approach(spans: readonly Span[], stretch: Stretch, descending: boolean): Work<Stretch> {
    let [span, near] = approach(spans, stretch, descending);
    if (span && this.#levels.length > 1 && span.toMs - span.fromMs >= minuteMs)
      [span, near] = approach(yield* this.#within(span.fromMs, span.toMs, 1), near, descending);
    return span && this.#branches.length > 1 ? yield* this.#bisect(span, near, descending) : near;
  }

  /** Merging branches costs more than counting them: halves the span until little is left to skip. */
  *#bisect(span: Span, stretch: Stretch, descending: boolean): Work<Stretch> {
    let { fromMs, toMs } = span;
    let near = stretch;
    while (near.skip > littleToSkip && fromMs < toMs) {
      const middle = Math.floor((fromMs + toMs) / 2);
      const lower = { fromMs, toMs: middle };
      const upper = { fromMs: middle + 1, toMs };
      const [first, second] = descending ? [upper, lower] : [lower, upper];
      const n = yield* countEntries(this.#branches, first.fromMs, first.toMs);
      const half = near.skip < n ? first : second;
      ({ fromMs, toMs } = half);
      if (half === second) near = { ...near, ...bound(half, descending), skip: near.skip - n };
    }
    return near;
  }

  *#within(fromMs: number, toMs: number, depth: number): Work<Span[]> {
    if (fromMs > toMs) return [];
    const level = this.#levels[depth];
    if (!level) return [{ fromMs, toMs, n: yield* this.#part(fromMs, toMs) }];
    const first = Math.ceil(fromMs / level.lengthMs) * level.lengthMs;
    const end = Math.floor((toMs + 1) / level.lengthMs) * level.lengthMs;
    if (first >= end) return yield* this.#within(fromMs, toMs, depth + 1);
    return [
      ...(yield* this.#within(fromMs, first - 1, depth + 1)),
      ...(yield* this.#buckets(level, first, end - 1)),
      ...(yield* this.#within(end, toMs, depth + 1)),
    ];
  }

  /** How many entries a part of a bucket has: those outside of it are counted when they are fewer. */
  *#part(fromMs: number, toMs: number): Work<number> {
    const level = this.#levels.at(-1);
    if (!level || toMs - fromMs < minuteMs) return yield* countEntries(this.#branches, fromMs, toMs);
    const first = Math.floor(fromMs / level.lengthMs) * level.lengthMs;
    const last = first + level.lengthMs - 1;
    const whole = sum(yield* this.#buckets(level, first, last));
    if (whole <= fewToCount || (yield* this.#isSmaller(fromMs, toMs, first, last)))
      return yield* countEntries(this.#branches, fromMs, toMs);
    const before = yield* countEntries(this.#branches, first, fromMs - 1);
    return whole - before - (yield* countEntries(this.#branches, toMs + 1, last));
  }

  /** Whether a part of a bucket has at most half of its entries, going by those of any facet. */
  *#isSmaller(fromMs: number, toMs: number, first: number, last: number): Work<boolean> {
    const part = sum(yield* this.#buckets(anyMinute, fromMs, toMs));
    return 2 * part <= sum(yield* this.#buckets(anyMinute, first, last));
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

function sum(spans: readonly Span[]): number {
  return spans.reduce((total, { n }) => total + n, 0);
}

/** Of what is read: from here on. */
function bound(
  { fromMs, toMs }: { fromMs: number; toMs: number },
  descending: boolean,
): { fromMs: number } | { toMs: number } {
  return descending ? { toMs } : { fromMs };
}

function approach(
  spans: readonly Span[],
  stretch: Stretch,
  descending: boolean,
): [span: Span | undefined, stretch: Stretch] {
  let skip = stretch.skip;
  for (const span of descending ? [...spans].reverse() : spans) {
    if (skip < span.n) {
      return [span, { ...stretch, ...bound(span, descending), skip }];
    }
    skip -= span.n;
  }
  return [undefined, stretch];
}
