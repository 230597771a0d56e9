/**
 * What calls of tools did. `proposed` is written when the model asks; `started` before anything is done, and only once;
 * `ended` with what came of it. One that a crash has left `started` may have been done or not.
 */
import { type Row, rows, textOrNone, type Work } from '../../storage/storage.js';
import type { Outcome, Payload, RunTool } from '../tools/run-tool.js';

/** Which call: of the n-th message, at this place. */
export interface EffectKey {
  readonly runId: string;
  readonly n: number;
  readonly position: number;
}

export interface Effect extends EffectKey {
  readonly tool: string;
  readonly kind: RunTool['kind'];
  readonly payload: Payload;
  /** At which it waits or has waited, the last one. */
  readonly gateId: string | undefined;
  readonly state: 'proposed' | 'started' | 'ended';
  readonly outcome: Outcome | undefined;
}

/** A call that may be begun although it was begun before. */
export interface Restart {
  /** Where a person has said so; that counts once. @default it needs no person */
  readonly gateId?: string;
}

export function* insertEffect(effect: Effect, now: number): Work<void> {
  const ended = effect.state === 'ended' ? now : null;
  yield* rows(
    `INSERT INTO clutch_effects (run_id, n, position, tool, kind, payload, gate_id, state, outcome, ended_at)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (run_id, n, position) DO NOTHING`,
    effect.runId,
    effect.n,
    effect.position,
    effect.tool,
    effect.kind,
    JSON.stringify(effect.payload),
    effect.gateId ?? null,
    effect.state,
    effect.outcome === undefined ? null : JSON.stringify(effect.outcome),
    ended,
  );
}

/** Of one message, in their order. */
export function* effectsOf(runId: string, n: number): Work<Effect[]> {
  const found = yield* rows(
    'SELECT * FROM clutch_effects WHERE run_id = ? AND n = ? ORDER BY position',
    runId,
    n,
  );
  return found.map(effectOf);
}

/** Of all messages, in their order. */
export function* effectsOfRun(runId: string): Work<Effect[]> {
  const found = yield* rows('SELECT * FROM clutch_effects WHERE run_id = ? ORDER BY n, position', runId);
  return found.map(effectOf);
}

/**
 * The one start of an effect, with what was decided to run.
 * @param again it was started before, and is to be done once more
 * @returns whether it may be carried out now: nobody has started it, and its run is held in this epoch
 */
export function* startEffect(
  key: EffectKey,
  epoch: number,
  payload: Payload,
  now: number,
  again?: Restart,
): Work<boolean> {
  const [row] = yield* rows(
    `UPDATE clutch_effects SET state = 'started', payload = ?, started_at = ?, gate_id = coalesce(?, gate_id)
     WHERE run_id = ? AND n = ? AND position = ? AND state = ?
       AND EXISTS (SELECT 1 FROM clutch_runs WHERE id = ? AND epoch = ? AND ended_at IS NULL)
     RETURNING position`,
    JSON.stringify(payload),
    now,
    again?.gateId ?? null,
    key.runId,
    key.n,
    key.position,
    again ? 'started' : 'proposed',
    key.runId,
    epoch,
  );
  return row !== undefined;
}

/** Also for a run that was aborted meanwhile: what was done was done. */
export function* endEffect(key: EffectKey, outcome: Outcome, now: number): Work<void> {
  yield* rows(
    `UPDATE clutch_effects SET state = 'ended', outcome = ?, ended_at = ?
     WHERE run_id = ? AND n = ? AND position = ? AND state <> 'ended'`,
    JSON.stringify(outcome),
    now,
    key.runId,
    key.n,
    key.position,
  );
}

function effectOf(row: Row): Effect {
  return {
    runId: String(row.run_id),
    n: Number(row.n),
    position: Number(row.position),
    tool: String(row.tool),
    kind: row.kind as Effect['kind'],
    payload: JSON.parse(String(row.payload)),
    gateId: textOrNone(row.gate_id),
    state: row.state as Effect['state'],
    outcome: row.outcome === null ? undefined : JSON.parse(String(row.outcome)),
  };
}
