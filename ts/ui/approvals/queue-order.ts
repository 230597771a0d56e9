/** Which approvals are listed, and which one comes next. Pure. */
import type { ApprovalWire } from '../../clutch/wire.js';

/** Those that wait, and the one that is open even when it is decided: nothing is taken from under a person's eyes. */
export function queueOf(approvals: readonly ApprovalWire[], open: string | undefined): ApprovalWire[] {
  return approvals
    .filter(({ id, status }) => status === 'pending' || id === open)
    .sort((one, other) => one.created_at - other.created_at || (one.id < other.id ? -1 : 1));
}

/** The nearest that waits in this direction, or else in the other; undefined when none but the open one does. */
export function neighbour(
  queue: readonly ApprovalWire[],
  open: string | undefined,
  step: 1 | -1,
): string | undefined {
  const at = queue.findIndex(({ id }) => id === open);
  const isWaiting = ({ id, status }: ApprovalWire) => status === 'pending' && id !== open;
  const after = queue.slice(at + 1).find(isWaiting);
  const before = queue.slice(0, Math.max(at, 0)).findLast(isWaiting);
  if (step === 1) return (after ?? (isStillWaiting(queue, at) ? undefined : before))?.id;
  return (before ?? (isStillWaiting(queue, at) ? undefined : after))?.id;
}

/** At an end of the list one stays, unless what is open is decided. */
function isStillWaiting(queue: readonly ApprovalWire[], at: number): boolean {
  return queue[at]?.status === 'pending';
}
