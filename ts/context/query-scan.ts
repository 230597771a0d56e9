/**
 * Searches that read a log in order, a batch at a time, so that nobody else is held up for long. What was there at the
 * beginning is searched, whatever is appended meanwhile: entries do not change.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { StompError } from '../errors.js';
import { type Row, rows, type Statement, type Storage, type Work } from '../storage/storage.js';
import type { CheckedQuery, Conditions } from './query-arguments.js';
import { inOrder, positionsOf } from './query-branches.js';
import type { Found, Wanted } from './query-counted.js';
import { compare, type Position } from './query-cursor.js';
import type { RegexPattern } from './query-pattern.js';
import {
  all,
  beyond,
  type Condition,
  condition,
  entriesBy,
  numberOf,
  oneOf,
  ordered,
  otherConditions,
} from './query-sql.js';
import type { KnownTotals } from './query-totals.js';

// So that a batch takes some milliseconds.
const batch = 4000;
const batchOfMessages = 1000;
const turnMs = 5;

/** What is searched: the log of a project up to a line. */
export interface Log {
  readonly project: string;
  readonly lines: number;
}

/** @throws StompError CANCELLED, DB_BUSY */
export async function scan(
  storage: Storage,
  logs: readonly Log[],
  query: CheckedQuery,
  { wanted, totals }: { wanted: Wanted; totals: KnownTotals },
): Promise<Found> {
  const found: Position[] = [];
  let total = 0;
  for (const log of logs) {
    const known = await storage.read(() => totals.of(log, query, storage.dialect));
    const part = await new LogScan(storage, log, query, { wanted, known }).run();
    if (part.isWhole) await totals.learn(storage, log, query, part.total);
    total += known ?? part.total;
    found.push(...part.positions);
  }
  const first = wanted.after ? 0 : wanted.skip;
  return { total, positions: inOrder(found, query.descending).slice(first, first + wanted.take) };
}

/** What matches in one batch. */
interface Batch {
  /** Where the next one begins; undefined after the last one. */
  readonly end: Position | undefined;
  /** What matches, unless only its number was wanted. */
  readonly found: readonly Row[] | undefined;
  readonly n: number;
}

class LogScan {
  readonly #storage: Storage;
  readonly #log: Log;
  readonly #query: CheckedQuery;
  readonly #after: Position | undefined;
  /** How many of the first entries may be on the page. */
  readonly #most: number;
  /** Whether the total is known already, so that only the page is looked for. */
  readonly #isCounted: boolean;
  readonly #positions: Position[] = [];
  #total = 0;

  constructor(
    storage: Storage,
    log: Log,
    query: CheckedQuery,
    { wanted: { after, skip, take }, known }: { wanted: Wanted; known: number | undefined },
  ) {
    this.#isCounted = known !== undefined;
    this.#storage = storage;
    this.#log = log;
    this.#query = query;
    this.#after = after;
    this.#most = after ? take : skip + take;
  }

  /** @returns what was found, and whether that is all there is */
  async run(): Promise<Found & { isWhole: boolean }> {
    const { pattern } = this.#query.conditions;
    let start = this.#beginning();
    do {
      checkNotCancelled(this.#query.signal);
      const from = start;
      const { end, found, n } = await this.#storage.read(() => this.#batch(from));
      if (found) {
        const matching = await matchingRows(
          found,
          pattern?.mode === 'regex' ? pattern : undefined,
          this.#query.signal,
        );
        this.#total += matching.length;
        this.#keep(positionsOf(matching));
      } else {
        this.#total += n;
      }
      start = end;
      await nextTurn();
    } while (start && !this.#isEnough());
    return { total: this.#total, positions: this.#positions, isWhole: !start && !this.#isCounted };
  }

  /** What lies before the page need not be looked at only to be counted. */
  #beginning(): Position | undefined {
    return this.#isCounted && this.#after?.project === this.#log.project ? this.#after : undefined;
  }

  /** What lies beyond the limit is neither counted nor shown. */
  #isEnough(): boolean {
    const { limit } = this.#query;
    if (this.#isCounted) return this.#positions.length >= Math.min(this.#most, limit);
    return this.#total >= limit && this.#positions.length >= Math.min(this.#most, limit);
  }

  #keep(positions: readonly Position[]): void {
    for (const position of positions) {
      if (this.#positions.length >= this.#most) return;
      if (!this.#after || this.#isBeyond(position, this.#after)) this.#positions.push(position);
    }
  }

  #isBeyond(position: Position, than: Position): boolean {
    return this.#query.descending ? compare(position, than) < 0 : compare(position, than) > 0;
  }

  /** @param start the last entry of the batch before */
  *#batch(start: Position | undefined): Work<Batch> {
    const { conditions } = this.#query;
    const dialect = this.#storage.dialect;
    const index = narrowest(conditions);
    const source = entriesBy(dialect, index);
    const log = all(
      condition('e.project = ?', this.#log.project),
      index === 'agent' ? oneOf('e.agent', conditions.agents) : undefined,
      index === 'category' ? oneOf('e.category', conditions.category) : undefined,
    );
    const end = yield* this.#end(source, all(log, ...this.#between(start, undefined)));
    const where = all(
      log,
      ...this.#between(start, end),
      condition('e.line <= ?', this.#log.lines),
      ...otherConditions(dialect, conditions),
    );
    return { end, ...(yield* this.#matching(source, where, end)) };
  }

  /** After the one and up to the other; by their times too, because databases go by one bound of an index only. */
  #between(start: Position | undefined, end: Position | undefined): Condition[] {
    const { conditions, descending } = this.#query;
    const { fromMs, toMs } = conditions;
    const [low, high] = descending ? [end, start] : [start, end];
    return [
      condition('e.ts >= ? AND e.ts <= ?', low?.ts ?? fromMs, high?.ts ?? toMs),
      start && beyond('e', descending, start),
      end && beyond('e', !descending, end, true),
    ];
  }

  *#end(source: string, log: Statement): Work<Position | undefined> {
    const size = this.#query.conditions.pattern?.mode === 'regex' ? batchOfMessages : batch;
    const [last] = yield* rows(
      `SELECT e.ts, e.line, e.project FROM ${source} WHERE ${log.sql}
       ${ordered('e', this.#query.descending)} LIMIT 1 OFFSET ?`,
      ...log.params,
      size - 1,
    );
    return last && positionsOf([last])[0];
  }

  *#matching(source: string, where: Statement, end: Position | undefined): Work<Omit<Batch, 'end'>> {
    const { conditions, descending } = this.#query;
    const isRegex = conditions.pattern?.mode === 'regex';
    const mayShow = this.#mayShow(end);
    if (this.#isCounted && !mayShow) return { found: undefined, n: 0 };
    if (!isRegex && !mayShow) {
      const n = yield* numberOf({
        sql: `SELECT count(*) AS n FROM ${source} WHERE ${where.sql}`,
        params: where.params,
      });
      return { found: undefined, n };
    }
    const found = yield* rows(
      `SELECT e.ts, e.line, e.project${isRegex ? ', e.message' : ''} FROM ${source} WHERE ${where.sql}
       ${ordered('e', descending)}`,
      ...where.params,
    );
    return { found, n: found.length };
  }

  /** Whether something of a batch may be on the page. */
  #mayShow(end: Position | undefined): boolean {
    if (this.#positions.length >= this.#most) return false;
    return !this.#after || !end || this.#isBeyond(end, this.#after);
  }
}

/** The index that leaves the fewest entries to look at. */
function narrowest({ agents, category }: Conditions): Parameters<typeof entriesBy>[1] {
  if (agents.length === 1) return 'agent';
  return category.length === 1 ? 'category' : 'ts';
}

/** @throws StompError CANCELLED */
export async function matchingRows(
  found: readonly Row[],
  pattern: RegexPattern | undefined,
  signal: AbortSignal | undefined,
): Promise<readonly Row[]> {
  if (!pattern) return found;
  const matching: Row[] = [];
  let turn = performance.now();
  for (const row of found) {
    if (pattern.matches(String(row.message))) matching.push(row);
    if (performance.now() - turn < turnMs) continue;
    await nextTurn();
    checkNotCancelled(signal);
    turn = performance.now();
  }
  return matching;
}

/** @throws StompError CANCELLED */
export function checkNotCancelled(signal: AbortSignal | undefined): void {
  if (signal?.aborted)
    throw new StompError('CANCELLED', 'The query was cancelled.', { cause: signal.reason });
}
