/** A decision as it is sent, carried out. */

import { resolve } from 'node:path';
import { refuse } from '../../arguments.js';
import { StompError } from '../../errors.js';
import { canonicalPath } from '../../paths.js';
import type { Clutch } from '../clutch.js';
import type { Gate } from '../gates/gate.js';
import type { Decision } from '../gates/gates.js';
import type { DecisionArguments } from './parameters.js';

/**
 * @param gate as it was when it was looked for; the revision of the decision counts
 * @throws StompError APPROVAL_NOT_FOUND, APPROVAL_DECIDED, APPROVAL_EXPIRED, APPROVAL_CHANGED, INVALID_REQUEST,
 *   PATH_DENIED
 */
export async function decide(clutch: Clutch, gate: Gate, args: DecisionArguments, by: string): Promise<Gate> {
  const { decision, edits = {}, reason, revision } = args;
  const decided = await clutch.gates.decide(gate.id, {
    decision,
    // An edit that changes nothing is none.
    edits: Object.keys(edits).length === 0 ? undefined : edits,
    reason,
    revision,
    remember: decision === 'approve' ? await ruleOf(clutch, gate, args.remember) : undefined,
    by,
  });
  if (decision === 'abort') await abortRun(clutch, gate.runId, by);
  return decided;
}

const asksAnyway: readonly Gate['kind'][] = ['spawn', 'ask'];

async function ruleOf(
  clutch: Clutch,
  gate: Gate,
  remember: DecisionArguments['remember'],
): Promise<Decision['remember']> {
  if (remember === undefined || remember === false) return undefined;
  const { tool = gate.tool, folder = '.' } = remember === true ? {} : remember;
  if (tool === undefined) refuse('remember', remember, 'left out, or name a tool: this approval is of none');
  // A rule that nobody heeds would only look as if there were one.
  if (asksAnyway.includes(gate.kind))
    refuse('remember', remember, 'left out: such approvals are asked for each time');
  const { request } = await clutch.run(gate.runId);
  return { tool, folder: await canonicalPath(resolve(request.baseDir, folder)) };
}

/** The run, woken by the decision, may have ended itself. */
async function abortRun(clutch: Clutch, runId: string, by: string): Promise<void> {
  try {
    await clutch.abort(runId, by);
  } catch (error) {
    if (!(error instanceof StompError) || error.code !== 'RUN_ENDED') throw error;
  }
}
