/** Entries as rows: the one place that writes and reads the columns. */
import { type Row, rows, type SqlValue, type Work } from '../storage/storage.js';
import { type Entry, type EntryPriority, type EntryStatus, entryStatuses, type Meta } from './entry.js';
import { addDerived, insertRows } from './query-derived.js';
import { fold } from './query-fold.js';

export const entryColumns =
  'id, project, line, ts, agent, session_id, status, emoji, priority, category, tags, confidence, message, meta, token, sha256';

/**
 * Adds entries of one project, in the order of their lines, with all that queries go by (query-schema.ts), and counts
 * them.
 * REQUIRES: the project's row of `metrics` is there and locked by this transaction; no such id or line is there yet.
 */
export function* insertEntries(entries: readonly Entry[]): Work<void> {
  yield* insertRows('entries', `${entryColumns}, folded`, entries.map(valuesOf));
  yield* addDerived(entries);
  yield* count(entries);
}

function valuesOf(entry: Entry): SqlValue[] {
  return [
    entry.id,
    entry.project,
    entry.line,
    entry.ts,
    entry.agent,
    entry.session_id,
    entry.status,
    entry.emoji,
    entry.priority,
    entry.category,
    JSON.stringify(entry.tags),
    entry.confidence,
    entry.message,
    JSON.stringify(entry.meta),
    BigInt(entry.token),
    entry.sha256,
    fold(entry.message),
  ];
}

function* count(entries: readonly Entry[]): Work<void> {
  const last = entries.at(-1);
  if (!last) return;
  const sums = entryStatuses.map((status) => entries.filter((entry) => entry.status === status).length);
  const latest = Math.max(...entries.map(({ ts }) => ts));
  yield* rows(
    `UPDATE metrics SET entries = ?, head = ?,
       last_entry_at = CASE WHEN last_entry_at > ? THEN last_entry_at ELSE ? END,
       ${entryStatuses.map((status) => `${status} = ${status} + ?`).join(', ')} WHERE project = ?`,
    last.line,
    last.sha256,
    latest,
    latest,
    ...sums,
    last.project,
  );
}

/** An entry from a row with `entryColumns`. */
export function entryOf(row: Row): Entry {
  return {
    id: String(row.id),
    project: String(row.project),
    line: Number(row.line),
    ts: Number(row.ts),
    agent: String(row.agent),
    session_id: row.session_id === null ? null : String(row.session_id),
    status: row.status as EntryStatus,
    emoji: String(row.emoji),
    priority: row.priority as EntryPriority,
    category: row.category === null ? null : String(row.category),
    tags: JSON.parse(String(row.tags)) as string[],
    confidence: row.confidence === null ? null : Number(row.confidence),
    message: String(row.message),
    meta: JSON.parse(String(row.meta)) as Meta,
    token: String(row.token),
    sha256: String(row.sha256),
  };
}

/** Removes all entries of a project, and what is known of its files: the next one has number 1 again. */
export function* deleteEntries(project: string): Work<void> {
  const tables = [
    'entries',
    'entry_counts',
    'entry_terms',
    'metrics',
    'progress_logs',
    'progress_log_archives',
  ];
  for (const table of tables) yield* rows(`DELETE FROM ${table} WHERE project = ?`, project);
}
