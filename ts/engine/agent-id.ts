/** What an agent may be called. The same rule holds in every part of the package and on the wire. */
import { StompError } from '../errors.js';

/** Source of the rule, for schemas and documentation. */
export const agentIdPattern = '^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$';

const rule = new RegExp(agentIdPattern);

/**
 * @returns the id, unchanged.
 * @throws StompError INVALID_REQUEST
 */
export function checkAgentId(id: unknown, field = 'agent'): string {
  if (typeof id === 'string' && rule.test(id)) return id;
  const shown = typeof id === 'string' ? JSON.stringify(id.slice(0, 140)) : String(id);
  throw new StompError(
    'INVALID_REQUEST',
    `${shown} is no agent id: use 1 to 128 of the characters A-Z a-z 0-9 _ - and (not first) the full stop.`,
    { fields: { field, value: typeof id === 'string' ? id.slice(0, 140) : shown, allowed: agentIdPattern } },
  );
}
