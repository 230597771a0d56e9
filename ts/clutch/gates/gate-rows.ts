/** Gates as rows. Every change of one is a single statement that says what it must find. */
import {
  isStorable,
  numberOrNone,
  type Row,
  rows,
  textOrNone,
  type Work,
  whereEqual,
} from '../../storage/storage.js';
import type { Gate, GateKind, GateStatus } from './gate.js';

export function* insertGate(gate: Gate): Work<void> {
  yield* rows(
    `INSERT INTO clutch_gates (id, run_id, ticket_id, kind, tool, status, revision, proposed, payload, preview, digest,
       requester, created_at, deadline_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`,
    gate.id,
    gate.runId,
    gate.ticketId ?? null,
    gate.kind,
    gate.tool ?? null,
    gate.status,
    gate.revision,
    JSON.stringify(gate.proposed),
    JSON.stringify(gate.payload),
    JSON.stringify(gate.preview),
    gate.digest,
    gate.requester,
    gate.createdAt,
    gate.deadlineAt,
  );
}

export function* findGate(id: string): Work<Gate | undefined> {
  if (!isStorable(id)) return undefined;
  const [row] = yield* rows('SELECT * FROM clutch_gates WHERE id = ?', id);
  return row && gateOf(row);
}

export interface GateFilter {
  readonly status: GateStatus | undefined;
  readonly runId: string | undefined;
  readonly limit: number;
}

/** Those that wait, the longest first; then those that do not any more, the newest first. */
export function* listGates({ status, runId, limit }: GateFilter): Work<Gate[]> {
  if (runId !== undefined && !isStorable(runId)) return [];
  const waiting =
    status === undefined || status === 'pending'
      ? yield* gatesWhere({ status: 'pending', run_id: runId }, 'ORDER BY created_at, id LIMIT ?', limit)
      : [];
  const room = limit - waiting.length;
  if (status === 'pending' || room === 0) return waiting;
  const order = "AND status <> 'pending' ORDER BY created_at DESC, id LIMIT ?";
  return [...waiting, ...(yield* gatesWhere({ status, run_id: runId }, order, room))];
}

/** @param then goes on after a condition */
function* gatesWhere(columns: Parameters<typeof whereEqual>[0], then: string, limit: number): Work<Gate[]> {
  const where = whereEqual(columns);
  const found = yield* rows(
    `SELECT * FROM clutch_gates ${where.sql || 'WHERE true'} ${then}`,
    ...where.params,
    limit,
  );
  return found.map(gateOf);
}

/** All that wait for a decision. */
export function* pendingGates(): Work<Gate[]> {
  const found = yield* rows("SELECT * FROM clutch_gates WHERE status = 'pending' ORDER BY created_at, id");
  return found.map(gateOf);
}

/** Those decided last first. */
export function* decidedGates(limit: number): Work<Gate[]> {
  const found = yield* rows(
    "SELECT * FROM clutch_gates WHERE status <> 'pending' ORDER BY decided_at DESC, id LIMIT ?",
    limit,
  );
  return found.map(gateOf);
}

export interface Verdict {
  readonly status: Exclude<GateStatus, 'pending'>;
  readonly by: string;
  readonly reason: string | undefined;
  readonly at: number;
}

/**
 * The one claim of a gate: of all that try, one finds it pending, in the revision that it has seen and within its time.
 * @returns the gate as it was decided; undefined for all others
 */
export function* claimGate(
  before: Gate,
  changed: Pick<Gate, 'payload' | 'preview' | 'digest'>,
  verdict: Verdict,
): Work<Gate | undefined> {
  const [row] = yield* rows(
    `UPDATE clutch_gates SET status = ?, payload = ?, preview = ?, digest = ?, decided_at = ?, decided_by = ?, reason = ?
     WHERE id = ? AND status = 'pending' AND revision = ? AND deadline_at > ? RETURNING *`,
    verdict.status,
    JSON.stringify(changed.payload),
    JSON.stringify(changed.preview),
    changed.digest,
    verdict.at,
    verdict.by,
    verdict.reason ?? null,
    before.id,
    before.revision,
    verdict.at,
  );
  return row && gateOf(row);
}

/** Shows something else; whoever has seen what was there before cannot decide any more. */
export function* showAgain(
  before: Gate,
  shown: Pick<Gate, 'payload' | 'preview' | 'digest'>,
): Work<Gate | undefined> {
  const [row] = yield* rows(
    `UPDATE clutch_gates SET payload = ?, preview = ?, digest = ?, revision = revision + 1
     WHERE id = ? AND status = 'pending' AND revision = ? RETURNING *`,
    JSON.stringify(shown.payload),
    JSON.stringify(shown.preview),
    shown.digest,
    before.id,
    before.revision,
  );
  return row && gateOf(row);
}

/** Those whose time is over. */
export function* expireGates(now: number): Work<Gate[]> {
  const found = yield* rows(
    `UPDATE clutch_gates SET status = 'expired', decided_at = ? WHERE status = 'pending' AND deadline_at <= ? RETURNING *`,
    now,
    now,
  );
  return found.map(gateOf);
}

/** Those of runs that are aborted. */
export function* abortGates(runId: string, by: string, now: number): Work<Gate[]> {
  const found = yield* rows(
    `UPDATE clutch_gates SET status = 'aborted', decided_at = ?, decided_by = ?
     WHERE run_id = ? AND status = 'pending' RETURNING *`,
    now,
    by,
    runId,
  );
  return found.map(gateOf);
}

/** When the next one's time is over; undefined while none waits. */
export function* nextDeadline(): Work<number | undefined> {
  const [row] = yield* rows("SELECT min(deadline_at) AS next FROM clutch_gates WHERE status = 'pending'");
  return numberOrNone(row?.next);
}

function gateOf(row: Row): Gate {
  return {
    id: String(row.id),
    runId: String(row.run_id),
    ticketId: textOrNone(row.ticket_id),
    kind: row.kind as GateKind,
    tool: textOrNone(row.tool),
    status: row.status as GateStatus,
    revision: Number(row.revision),
    proposed: JSON.parse(String(row.proposed)),
    payload: JSON.parse(String(row.payload)),
    preview: JSON.parse(String(row.preview)),
    digest: String(row.digest),
    requester: String(row.requester),
    createdAt: Number(row.created_at),
    deadlineAt: Number(row.deadline_at),
    decidedAt: numberOrNone(row.decided_at),
    decidedBy: textOrNone(row.decided_by),
    reason: textOrNone(row.reason),
  };
}
