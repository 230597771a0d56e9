/** The buttons of an approval, and what they ask before they act. */
import type { RefObject } from 'preact';
import { useId } from 'preact/hooks';

export type Asking = 'reject' | 'abort' | undefined;

export interface DecisionBarProps {
  /** What the first button does. */
  readonly approveLabel: string;
  readonly canApprove: boolean;
  readonly isBusy: boolean;
  readonly isFixed: boolean;
  readonly asking: Asking;
  readonly reasonField: RefObject<HTMLInputElement | null>;
  readonly abortButton: RefObject<HTMLButtonElement | null>;
  readonly onApprove: () => void;
  readonly onReject: (reason: string) => void;
  readonly onAbort: () => void;
  readonly onAsk: (asking: Asking) => void;
}

export function DecisionBar(props: DecisionBarProps) {
  const { approveLabel, canApprove, isBusy, isFixed, asking, onApprove, onAsk } = props;
  if (asking === 'reject') return <RejectForm {...props} />;
  if (asking === 'abort') return <AbortForm {...props} />;
  return (
    <div class="bar">
      <button type="button" class="primary" disabled={!canApprove || isBusy} onClick={onApprove}>
        {approveLabel} <kbd>a</kbd>
      </button>
      <button type="button" disabled={isFixed || isBusy} onClick={() => onAsk('reject')}>
        Reject… <kbd>r</kbd>
      </button>
      <button type="button" class="danger" disabled={isFixed || isBusy} onClick={() => onAsk('abort')}>
        Abort run… <kbd>x</kbd>
      </button>
    </div>
  );
}

function RejectForm({ reasonField, isBusy, onReject, onAsk }: DecisionBarProps) {
  const id = useId();
  return (
    <form
      class="bar"
      onSubmit={(event) => {
        event.preventDefault();
        onReject(reasonField.current?.value ?? '');
      }}
    >
      <label for={id}>Why? The model is told.</label>
      <input ref={reasonField} id={id} type="text" autocomplete="off" />
      <button type="submit" class="primary" disabled={isBusy}>
        Reject
      </button>
      <button type="button" class="quiet" onClick={() => onAsk(undefined)}>
        Back
      </button>
    </form>
  );
}

function AbortForm({ abortButton, isBusy, onAbort, onAsk }: DecisionBarProps) {
  return (
    <div class="bar">
      <span>This ends the run, what it has begun, and all that it waits for.</span>
      <button ref={abortButton} type="button" class="danger" disabled={isBusy} onClick={onAbort}>
        Abort the run
      </button>
      <button type="button" class="quiet" onClick={() => onAsk(undefined)}>
        Back
      </button>
    </div>
  );
}
