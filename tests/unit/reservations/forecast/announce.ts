/** Reservations and intents with little ado. */
import type { Intent, Operation, Reservation } from '../../../../ts/reservations/types.js';

const createdAt = new Date('2026-01-01T12:00:00Z');
const expiresAt = new Date('2026-01-01T13:00:00Z');

/** @param agent `run_id@branch`, or a `run_id` on main. */
export function reserve(
  agent: string,
  addresses: string | string[],
  operation: Operation | null = null,
): Reservation {
  const [runId = '', branch = 'main'] = agent.split('@');
  const reservationId = `${agent} ${addresses}`;
  return { reservationId, runId, branch, addresses: [addresses].flat(), createdAt, expiresAt, operation };
}

export function intend(agent: string, address: string, operation: Operation, detail = ''): Intent {
  const { reservationId, ...rest } = reserve(agent, address);
  return { ...rest, intentId: `${reservationId} ${operation}`, reservationId, operation, detail };
}
