/** The time of day by which leases and deadlines run: that of the database's machine, or of whoever opened it. */
import { rows, type Statement, type Storage, type Work } from './storage.js';

export interface WallClock {
  /** Milliseconds since 1970, as a part of a statement. */
  expression(): Statement;
  /** The same within a transaction. */
  now(): Work<number>;
}

/**
 * @param given replaces the clock, for tests and simulations. Without it SQLite has the clock of its only machine, and
 *   PostgreSQL its own for all of them.
 */
export function wallClock({ dialect }: Pick<Storage, 'dialect'>, given?: () => number): WallClock {
  if (!given && dialect === 'postgres') return databaseClock;
  const now = given ?? Date.now;
  return {
    expression: () => ({ sql: '?', params: [Math.floor(now())] }),
    // biome-ignore lint/correctness/useYield: other databases must be asked
    *now() {
      return Math.floor(now());
    },
  };
}

const databaseClock: WallClock = {
  expression: () => ({ sql: '(extract(epoch FROM clock_timestamp()) * 1000)::bigint', params: [] }),
  *now() {
    const [row] = yield* rows(`SELECT ${databaseClock.expression().sql} AS now`);
    return Number(row?.now);
  },
};
