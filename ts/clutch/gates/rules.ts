/** Decisions that a person has made for more than one call: this tool, in this folder, for this run. */
import { isStorable, type Row, rows, type Work } from '../../storage/storage.js';

/** A decision that counts for later calls of a run as well. */
export interface Rule {
  readonly id: string;
  readonly runId: string;
  readonly tool: string;
  /** Canonical; calls that touch nothing outside of it are allowed. */
  readonly folder: string;
  /** The gate with whose decision it was made. */
  readonly gateId: string;
  readonly madeBy: string;
  readonly createdAt: number;
}

export function* insertRule(rule: Rule): Work<void> {
  yield* rows(
    'INSERT INTO clutch_rules (id, run_id, tool, folder, gate_id, made_by, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)',
    rule.id,
    rule.runId,
    rule.tool,
    rule.folder,
    rule.gateId,
    rule.madeBy,
    rule.createdAt,
  );
}

export function* listRules(runId: string | undefined): Work<Rule[]> {
  const found =
    runId === undefined
      ? yield* rows('SELECT * FROM clutch_rules ORDER BY created_at, id')
      : yield* rows('SELECT * FROM clutch_rules WHERE run_id = ? ORDER BY created_at, id', runId);
  return found.map(ruleOf);
}

/** @returns the rule that is no more; undefined when there was none */
export function* deleteRule(id: string): Work<Rule | undefined> {
  if (!isStorable(id)) return undefined;
  const [row] = yield* rows('DELETE FROM clutch_rules WHERE id = ? RETURNING *', id);
  return row && ruleOf(row);
}

function ruleOf(row: Row): Rule {
  return {
    id: String(row.id),
    runId: String(row.run_id),
    tool: String(row.tool),
    folder: String(row.folder),
    gateId: String(row.gate_id),
    madeBy: String(row.made_by),
    createdAt: Number(row.created_at),
  };
}
