/** Waiting for a database that is away: a minute without it ends nothing. */
import { setTimeout as sleep } from 'node:timers/promises';
import { StompError } from '../../errors.js';

export interface Patience {
  /** Ends the waiting. */
  readonly signal: AbortSignal;
  /** Between two tries. */
  readonly retryMs: number;
  /** Told once of each time that it is away. */
  readonly onWarning: (error: unknown) => void;
}

/** What the data is to blame for, and no waiting cures: classes of SQLSTATE, and what SQLite calls the same. */
const dataFaults = /^(22|23|54|SQLITE_(CONSTRAINT|TOOBIG|MISMATCH|RANGE))/;

/** Whether the database is out of reach or held by others: the same may succeed later. */
export function isAway(error: unknown): boolean {
  if (!(error instanceof StompError) || error.code !== 'DB_BUSY') return false;
  const { sql_state, last_sqlite_error } = error.fields;
  return !dataFaults.test(String(sql_state ?? last_sqlite_error ?? ''));
}

/**
 * Tries until the database answers. A commit whose answer was lost is tried again too: work that writes says itself
 * what it must find.
 * @throws every other error at once; what the signal gives as its reason
 */
export async function patiently<T>(call: () => Promise<T>, patience: Patience): Promise<T> {
  const { signal, retryMs, onWarning } = patience;
  for (let tries = 0; ; tries++) {
    signal.throwIfAborted();
    try {
      return await call();
    } catch (error) {
      if (!isAway(error)) throw error;
      if (tries === 0) onWarning(error);
    }
    await pause(retryMs, signal);
  }
}

/** Ends with its signal as well as with the time. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  // It rejects for the signal only, which whoever pauses looks at next.
  return sleep(ms, undefined, { signal }).catch(() => undefined);
}
