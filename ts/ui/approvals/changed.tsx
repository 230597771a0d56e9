/** What is shown is no longer what would happen. */
import type { ApprovalWire } from '../../clutch/wire.js';
import { DiffView } from '../parts/diff-view.js';
import { payloadDiff } from './line-diff.js';
import type { Shown } from './use-shown.js';

export interface ChangedProps {
  readonly shown: Shown;
  readonly latest: ApprovalWire;
  /** The new one is on display. */
  readonly onLook: () => void;
}

export function Changed({ shown, latest, onLook }: ChangedProps) {
  const changes = payloadDiff(shown.seen.payload, latest.payload);
  const lookAgain = () => {
    shown.lookAgain();
    onLook();
  };
  return (
    <div class="banner">
      <p role="alert">
        <strong>This has changed while you looked at it.</strong> Below is what you saw; it can no longer be
        decided.
      </p>
      {changes.map(({ key, label, lines }) => (
        <DiffView key={key} label={`What is new in ${label}`} lines={lines} />
      ))}
      <button type="button" class="primary" onClick={lookAgain}>
        Look again
      </button>
    </div>
  );
}
