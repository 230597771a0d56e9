/** Starts a run as it is asked for, by a person or an agent. */
import { StompError } from '../../errors.js';
import type { ArgumentsOf } from '../../tools/parameters.js';
import { withWireName } from '../../tools/tool.js';
import type { Clutch } from '../clutch.js';
import { type GatePolicy, gatePolicies, type Run } from '../runs/run.js';
import { runInputOf, runSchema } from './parameters.js';

/**
 * @param approves whether whoever asks may decide approvals
 * @throws StompError FORBIDDEN for less of a gate than an agent may ask for; what the clutch has against the rest
 */
export async function startRun(
  clutch: Clutch,
  args: ArgumentsOf<typeof runSchema>,
  approves: boolean,
): Promise<Run> {
  if (!approves) checkGate(args.gate, clutch.defaults.gate);
  try {
    return await clutch.start(runInputOf(args));
  } catch (error) {
    throw withWireName(error, runSchema);
  }
}

/** What a run does waits for a person. No agent decides for itself that it need not. */
function checkGate(asked: GatePolicy | undefined, byDefault: GatePolicy): void {
  if (asked === undefined) return;
  // The strictest is the first.
  const allowed = gatePolicies.slice(0, gatePolicies.indexOf(byDefault) + 1);
  if (allowed.includes(asked)) return;
  const message =
    `Only whoever may decide approvals may start a run with "gate": "${asked}"; the gate of this server is ` +
    `"${byDefault}". Leave it out, send the approver token, or start the server with --gate ${asked}.`;
  throw new StompError('FORBIDDEN', message, { fields: { field: 'gate', value: asked, allowed } });
}
