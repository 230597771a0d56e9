/** What became of an approval that one has open. */
import type { RefObject } from 'preact';
import type { ApprovalWire } from '../../clutch/wire.js';
import { Badge } from '../parts/badge.js';
import { clockTime } from '../parts/format.js';

export interface OutcomeProps {
  readonly approval: ApprovalWire;
  readonly element: RefObject<HTMLDivElement | null>;
  /** Undefined when nothing else waits. */
  readonly onNext: (() => void) | undefined;
  readonly onClose: () => void;
}

export function Outcome({ approval, element, onNext, onClose }: OutcomeProps) {
  const { status, decided_by: by, decided_at: at, reason } = approval;
  return (
    <div class="outcome" ref={element} tabIndex={-1}>
      <p>
        <Badge status={status} />
        {by === undefined ? null : ` by ${by}`}
        {at === undefined ? null : ` at ${clockTime(at)}`}
        {reason === undefined || reason === '' ? null : `: “${reason}”`}
      </p>
      {onNext ? (
        <button type="button" class="primary" onClick={onNext}>
          Next <kbd>j</kbd>
        </button>
      ) : (
        <button type="button" class="quiet" onClick={onClose}>
          Close <kbd>Esc</kbd>
        </button>
      )}
    </div>
  );
}
