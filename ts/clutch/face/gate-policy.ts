/** Who may ask for how much of a gate. */
import { StompError } from '../../errors.js';
import { type GatePolicy, gatePolicies } from '../runs/run.js';

/**
 * Agents may start runs, and what a run does waits for a person: so that no agent decides for itself, only a person may
 * ask for less of a gate than a server has by default.
 * @throws StompError FORBIDDEN
 */
export function checkGate(asked: GatePolicy | undefined, byDefault: GatePolicy, approves: boolean): void {
  if (asked === undefined || approves || strictness(asked) >= strictness(byDefault)) return;
  const message =
    `Only whoever may decide approvals may start a run with "gate": "${asked}"; the gate of this server is ` +
    `"${byDefault}". Leave it out, send the approver token, or start the server with --gate ${asked}.`;
  throw new StompError('FORBIDDEN', message, {
    fields: {
      field: 'gate',
      value: asked,
      allowed: gatePolicies.filter((one) => strictness(one) >= strictness(byDefault)),
    },
  });
}

/** `gatePolicies` begins with the strictest. */
function strictness(policy: GatePolicy): number {
  return -gatePolicies.indexOf(policy);
}
