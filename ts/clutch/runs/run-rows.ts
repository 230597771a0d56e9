/**
 * Runs as rows. One process at a time works on a run: it holds the row for a while and renews that; whoever takes over
 * raises the epoch, and all that the one before writes with the old one finds nothing.
 */
import { StompError } from '../../errors.js';
import {
  isStorable,
  numberOrNone,
  type Row,
  rows,
  textOrNone,
  type Work,
  whereEqual,
} from '../../storage/storage.js';
import type { Message } from '../conversation.js';
import type { Run, RunError, RunState, RunStatus } from './run.js';

/** The right to work on a run. */
export interface Hold {
  readonly runId: string;
  readonly owner: string;
  readonly epoch: number;
}

/** What changes together with a message or by itself. */
export interface RunChange {
  readonly status?: RunStatus;
  readonly state?: RunState;
  readonly error?: RunError;
  /** It is over. */
  readonly ended?: boolean;
}

export function* insertRun(run: Run): Work<void> {
  yield* rows(
    `INSERT INTO clutch_runs (id, agent_id, session_id, parent_id, track_id, ticket_id, status, request, state,
       owner_until, epoch, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, ?, ?)`,
    run.id,
    run.agentId,
    run.sessionId,
    run.parentId ?? null,
    run.trackId ?? null,
    run.ticketId ?? null,
    run.status,
    JSON.stringify(run.request),
    JSON.stringify(run.state),
    run.createdAt,
    run.updatedAt,
  );
}

export function* findRun(id: string): Work<Run | undefined> {
  if (!isStorable(id)) return undefined;
  const [row] = yield* rows('SELECT * FROM clutch_runs WHERE id = ?', id);
  return row && runOf(row);
}

export interface RunRowFilter {
  readonly status: RunStatus | undefined;
  readonly parentId: string | undefined;
  readonly sessionId?: string | undefined;
  readonly limit: number;
}

/** Newest first. */
export function* listRuns({ status, parentId, sessionId, limit }: RunRowFilter): Work<Run[]> {
  if (![parentId ?? '', sessionId ?? ''].every(isStorable)) return [];
  const where = whereEqual({ status, parent_id: parentId, session_id: sessionId });
  const sql = `SELECT * FROM clutch_runs ${where.sql} ORDER BY created_at DESC, id LIMIT ?`;
  const found = yield* rows(sql, ...where.params, limit);
  return found.map(runOf);
}

/** All that are not over. */
export function* openRuns(): Work<Run[]> {
  const found = yield* rows('SELECT * FROM clutch_runs WHERE ended_at IS NULL ORDER BY created_at, id');
  return found.map(runOf);
}

/** Runs that nobody works on, though they are not over. */
export function* orphans(now: number): Work<string[]> {
  const found = yield* rows(
    'SELECT id FROM clutch_runs WHERE ended_at IS NULL AND owner_until <= ? ORDER BY created_at',
    now,
  );
  return found.map(({ id }) => String(id));
}

/** Runs that a run has begun, and that are not over. */
export function* openChildren(parentId: string): Work<string[]> {
  const found = yield* rows('SELECT id FROM clutch_runs WHERE parent_id = ? AND ended_at IS NULL', parentId);
  return found.map(({ id }) => String(id));
}

/** Those who hold runs. */
export function* owners(): Work<string[]> {
  const found = yield* rows(
    'SELECT DISTINCT owner FROM clutch_runs WHERE ended_at IS NULL AND owner IS NOT NULL AND owner_until > 0',
  );
  return found.map(({ owner }) => String(owner));
}

/** Its runs need not wait until its time is over. */
export function* freeRunsOf(owner: string): Work<void> {
  yield* rows('UPDATE clutch_runs SET owner_until = 0 WHERE owner = ? AND ended_at IS NULL', owner);
}

export function runNotFound(id: string): StompError {
  return new StompError('RUN_NOT_FOUND', `There is no run ${id}. GET /v1/runs lists them.`, {
    fields: { run: id },
  });
}

/** @returns undefined when somebody else works on it, or it is over */
export function* takeRun(runId: string, owner: string, now: number, holdMs: number): Work<Hold | undefined> {
  const [row] = yield* rows(
    `UPDATE clutch_runs SET owner = ?, owner_until = ?, epoch = epoch + 1
     WHERE id = ? AND ended_at IS NULL AND owner_until <= ? RETURNING epoch`,
    owner,
    now + holdMs,
    runId,
    now,
  );
  return row && { runId, owner, epoch: Number(row.epoch) };
}

/** @returns whether it is held still */
export function* renewHold(hold: Hold, now: number, holdMs: number): Work<boolean> {
  const [row] = yield* rows(
    'UPDATE clutch_runs SET owner_until = ? WHERE id = ? AND epoch = ? AND owner_until > 0 AND ended_at IS NULL RETURNING id',
    now + holdMs,
    hold.runId,
    hold.epoch,
  );
  return row !== undefined;
}

/** Others may go on at once. */
export function* dropHold(hold: Hold): Work<void> {
  yield* rows('UPDATE clutch_runs SET owner_until = 0 WHERE id = ? AND epoch = ?', hold.runId, hold.epoch);
}

/** @throws StompError LEASE_LOST when another process works on it by now, or it is over */
export function* changeRun(hold: Hold, change: RunChange, now: number): Work<Run> {
  const { status, state, error, ended = false } = change;
  const [row] = yield* rows(
    `UPDATE clutch_runs SET status = coalesce(?, status), state = coalesce(?, state), error = coalesce(?, error),
       updated_at = ?, ended_at = ?, owner_until = CASE WHEN ? = 1 THEN 0 ELSE owner_until END
     WHERE id = ? AND epoch = ? AND ended_at IS NULL RETURNING *`,
    status ?? null,
    state === undefined ? null : JSON.stringify(state),
    error === undefined ? null : JSON.stringify(error),
    now,
    ended ? now : null,
    ended ? 1 : 0,
    hold.runId,
    hold.epoch,
  );
  if (row) return runOf(row);
  throw new StompError(
    'LEASE_LOST',
    `Another process works on the run ${hold.runId} by now, or it is over.`,
    {
      fields: { run: hold.runId },
    },
  );
}

/** Whoever works on it finds that it is over. @returns undefined when it was over before */
export function* abortRow(runId: string, now: number): Work<Run | undefined> {
  if (!isStorable(runId)) return undefined;
  const [row] = yield* rows(
    `UPDATE clutch_runs SET status = 'aborted', updated_at = ?, ended_at = ?, owner_until = 0
     WHERE id = ? AND ended_at IS NULL RETURNING *`,
    now,
    now,
    runId,
  );
  return row && runOf(row);
}

/** @param n from 1, without gaps */
export function* insertMessage(runId: string, n: number, message: Message, now: number): Work<void> {
  yield* rows(
    'INSERT INTO clutch_messages (run_id, n, body, created_at) VALUES (?, ?, ?, ?)',
    runId,
    n,
    JSON.stringify(message),
    now,
  );
}

/** @param from the first that is wanted */
export function* messagesOf(runId: string, from = 1): Work<Message[]> {
  const found = yield* rows(
    'SELECT body FROM clutch_messages WHERE run_id = ? AND n >= ? ORDER BY n',
    runId,
    from,
  );
  return found.map(({ body }) => JSON.parse(String(body)));
}

function runOf(row: Row): Run {
  return {
    id: String(row.id),
    agentId: String(row.agent_id),
    sessionId: String(row.session_id),
    parentId: textOrNone(row.parent_id),
    trackId: textOrNone(row.track_id),
    ticketId: textOrNone(row.ticket_id),
    status: row.status as RunStatus,
    request: JSON.parse(String(row.request)),
    state: JSON.parse(String(row.state)),
    error: row.error === null ? undefined : JSON.parse(String(row.error)),
    createdAt: Number(row.created_at),
    updatedAt: Number(row.updated_at),
    endedAt: numberOrNone(row.ended_at),
  };
}
