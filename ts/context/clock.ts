/** The time by which leases run: that of the database's machine, or of whoever opened the context. */
import { rows, type Storage, type Work } from '../storage/storage.js';

/** Milliseconds since 1970, within a transaction. */
export type Now = () => Work<number>;

/**
 * @param given replaces the clock, for tests and simulations. Without it SQLite has the clock of its only machine, and
 *   PostgreSQL its own for all of them.
 */
export function contextNow({ dialect }: Pick<Storage, 'dialect'>, given?: () => number): Now {
  if (given || dialect === 'sqlite') {
    const now = given ?? Date.now;
    // biome-ignore lint/correctness/useYield: other databases must be asked
    return function* () {
      return Math.floor(now());
    };
  }
  return function* () {
    const [row] = yield* rows('SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now');
    return Number(row?.now);
  };
}
