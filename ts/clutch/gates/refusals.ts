/** Why a gate cannot be decided. */
import { StompError } from '../../errors.js';
import type { Gate } from './gate.js';

/** Why a gate cannot be decided by somebody who has seen this revision of it. */
export function refusal(gate: Gate, revision: number, now: number): StompError | undefined {
  if (gate.status === 'expired' || (gate.status === 'pending' && gate.deadlineAt <= now))
    return expired(gate);
  if (gate.status !== 'pending') return alreadyDecided(gate);
  return gate.revision === revision ? undefined : changedError(gate);
}

export function notFound(id: string): never {
  throw new StompError('APPROVAL_NOT_FOUND', `There is no approval ${id}. GET /v1/approvals lists them.`, {
    fields: { approval: id },
  });
}

function alreadyDecided(gate: Gate): StompError {
  const by = gate.decidedBy === undefined ? '' : ` by ${gate.decidedBy}`;
  return new StompError('APPROVAL_DECIDED', `The approval ${gate.id} is ${gate.status} already${by}.`, {
    fields: {
      approval: gate.id,
      status: gate.status,
      decided_by: gate.decidedBy,
      decided_at: gate.decidedAt,
    },
  });
}

function expired(gate: Gate): StompError {
  const message = `The approval ${gate.id} has expired: nobody decided in time, so it was denied. The run has been told and may ask again.`;
  return new StompError('APPROVAL_EXPIRED', message, {
    fields: { approval: gate.id, deadline_at: gate.deadlineAt },
  });
}

export function changedError(gate: Gate): StompError {
  const message = `The approval ${gate.id} shows something else by now (revision ${gate.revision}). Look at it again, and decide on that.`;
  return new StompError('APPROVAL_CHANGED', message, {
    fields: { approval: gate.id, revision: gate.revision },
  });
}
