/** Patience with whoever is alone with a store, and the lock that a folder has: a file of SQLite. */
import { lstatSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type Database from 'better-sqlite3';
import { StompError } from '../../errors.js';
import { deniedPath } from '../../paths.js';

const firstPauseMs = 2;
const longestPauseMs = 100;

/**
 * Asks again until the lock is given.
 * @throws StompError DB_BUSY after `patienceMs`, CANCELLED
 */
export async function patiently<T>(
  name: string,
  ask: () => T | undefined | Promise<T | undefined>,
  patienceMs: number,
  signal: AbortSignal | undefined,
): Promise<T> {
  const deadline = performance.now() + patienceMs;
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(2 * pauseMs, longestPauseMs)) {
    if (signal?.aborted) throw cancelled(signal.reason);
    const given = await ask();
    if (given !== undefined) return given;
    if (performance.now() >= deadline) throw busy(name, patienceMs);
    // Never twice the same, so that those who collided do not collide again.
    await sleep(pauseMs * (0.5 + Math.random()), undefined, signal ? { signal } : {}).catch(() => undefined);
  }
}

/** @returns what gives the lock back; undefined while somebody has it. The system drops it with the process. */
export async function takeFileLock(file: string): Promise<(() => void) | undefined> {
  const { default: open } = await import('better-sqlite3');
  const before = inodeOf(file);
  const db = opened(open, file);
  try {
    // The file may have been made, or removed and made anew, since: whoever has that one knows nothing of this.
    if (begun(db, file) && before !== undefined && inodeOf(file) === before) return () => db.close();
  } catch (error) {
    db.close();
    throw error;
  }
  db.close();
  return undefined;
}

function opened(open: typeof Database, file: string): Database.Database {
  try {
    // Waiting is done between the attempts, not by this thread.
    return new open(file, { timeout: 0 });
  } catch (error) {
    throw unusable(file, error);
  }
}

function begun(db: Database.Database, file: string): boolean {
  try {
    db.exec('BEGIN IMMEDIATE');
    return true;
  } catch (error) {
    if (/^SQLITE_(BUSY|LOCKED)/.test(String((error as { code?: unknown }).code))) return false;
    throw unusable(file, error);
  }
}

/** By name only: to open and close the file here would drop the locks that this process has on it. */
function inodeOf(file: string): number | undefined {
  const stats = lstatSync(file, { throwIfNoEntry: false });
  if (stats && !stats.isFile()) throw deniedPath(file, 'it is a link or no file');
  // Nothing is ever written to it; what others have made of it may name further files to be written.
  if (stats && stats.size > 0) throw deniedPath(file, 'it is not empty, as a lock is; remove it');
  return stats?.ino;
}

function unusable(file: string, cause: unknown): StompError {
  const message = cause instanceof Error ? cause.message : String(cause);
  return new StompError(
    'DB_BUSY',
    `Cannot lock ${file}: ${message}. Check that it may be written; it holds nothing and may be removed.`,
    {
      fields: { file, description: message },
      cause,
    },
  );
}

function busy(name: string, patienceMs: number): StompError {
  const message = `Somebody else has been alone with ${name} for ${patienceMs} ms. Try again later.`;
  return new StompError('DB_BUSY', message, { fields: { store: name, waited_ms: patienceMs } });
}

function cancelled(cause: unknown): StompError {
  return new StompError('CANCELLED', 'It was cancelled before its turn came; nothing was written.', {
    cause,
  });
}
