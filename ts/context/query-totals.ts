/**
 * How many entries of a log match searches that had to read it. Entries do not change and only new ones come, so the
 * next time, and for the next page, only those are counted that were added since.
 */
import { rows, type Storage, type Work } from '../storage/storage.js';
import type { CheckedQuery } from './query-arguments.js';
import { all, condition, numberOf, otherConditions } from './query-sql.js';

interface Known {
  /** Up to which line of the log. */
  readonly lines: number;
  /** Of that line: another one stands there when the log was purged and began anew. */
  readonly sha256: string;
  readonly total: number;
}

const mostKnown = 1000;
// More are read in order, in portions.
const mostAdded = 4000;

export class KnownTotals {
  /** Whatever was used last stands at the end. */
  readonly #known = new Map<string, Known>();

  /** Notes a total, if the log is still the same. */
  async learn(
    storage: Storage,
    { project, lines }: { project: string; lines: number },
    query: CheckedQuery,
    total: number,
  ): Promise<void> {
    const sha256 = await storage.read(() => hashOf(project, lines));
    if (sha256 === undefined) return;
    const key = keyOf(project, query);
    this.#known.delete(key);
    this.#known.set(key, { lines, sha256, total });
    const [oldest] = this.#known.keys();
    if (this.#known.size > mostKnown && oldest !== undefined) this.#known.delete(oldest);
  }

  /** Undefined when it is not known, or too much was added since. */
  *of(
    { project, lines }: { project: string; lines: number },
    query: CheckedQuery,
    dialect: Storage['dialect'],
  ): Work<number | undefined> {
    const known = this.#known.get(keyOf(project, query));
    // Expressions are matched here and not by the database.
    const mayCount = query.conditions.pattern?.mode !== 'regex' || known?.lines === lines;
    if (!known || !mayCount || known.lines > lines || lines - known.lines > mostAdded) return undefined;
    if ((yield* hashOf(project, known.lines)) !== known.sha256) return undefined;
    if (known.lines === lines) return known.total;
    const { fromMs, toMs } = query.conditions;
    const { sql, params } = all(
      condition('e.project = ? AND e.line > ? AND e.line <= ?', project, known.lines, lines),
      condition('e.ts >= ? AND e.ts <= ?', fromMs, toMs),
      ...otherConditions(dialect, query.conditions),
    );
    return (
      known.total + (yield* numberOf({ sql: `SELECT count(*) AS n FROM entries e WHERE ${sql}`, params }))
    );
  }
}

function keyOf(project: string, { search }: CheckedQuery): string {
  return JSON.stringify([project, search]);
}

function* hashOf(project: string, line: number): Work<string | undefined> {
  const [row] = yield* rows('SELECT sha256 FROM entries WHERE project = ? AND line = ?', project, line);
  return row && String(row.sha256);
}
