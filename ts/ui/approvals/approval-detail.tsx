/** One approval, opened: who asks for what, all of it, and the decision. */
import { useLayoutEffect, useRef } from 'preact/hooks';
import type { ApprovalWire, RunWire } from '../../clutch/wire.js';
import { useServices } from '../state/services.js';
import { useStore } from '../state/store.js';
import { useCommands } from '../state/use-commands.js';
import { ApprovalBody } from './approval-body.js';
import { ApprovalFacts } from './approval-facts.js';
import { Changed } from './changed.js';
import { Decide, focusFirst } from './decide.js';
import { Outcome } from './outcome.js';
import { useDecision } from './use-decision.js';
import { useShown } from './use-shown.js';

export interface ApprovalDetailProps {
  readonly id: string;
  /** As the events say it is. */
  readonly approval: ApprovalWire;
  readonly run: RunWire | undefined;
  readonly onNext: (() => void) | undefined;
  readonly onClose: () => void;
}

export function ApprovalDetail({ id, approval, run, onNext, onClose }: ApprovalDetailProps) {
  const isReader = useStore(useServices().token) === undefined;
  const deciding = useDecision();
  const latest = newer(approval, deciding.answer);
  const shown = useShown(latest);
  const element = useRef<HTMLElement>(null);
  const outcome = useRef<HTMLDivElement>(null);
  const isDecided = latest.status !== 'pending';
  const focus = () => element.current?.focus({ preventScroll: true });

  // What had the focus may be gone with the decision.
  useLayoutEffect(() => {
    if (isDecided && document.activeElement === document.body)
      outcome.current?.focus({ preventScroll: true });
  }, [isDecided]);
  useCommands({
    edit: () => focusFirst(element.current),
    back: () => {
      if (isDecided) onClose();
      else if (element.current?.contains(document.activeElement)) focus();
    },
  });

  return (
    <section
      class="approval"
      id={id}
      ref={element}
      tabIndex={-1}
      aria-label={`Approval: ${shown.seen.preview.title}`}
    >
      <ApprovalFacts approval={shown.seen} run={run} />
      {shown.isOutdated ? <Changed shown={shown} latest={latest} onLook={focus} /> : null}
      <ApprovalBody shown={shown} isFixed={isReader || isDecided || shown.isOutdated} />
      {isDecided ? (
        <Outcome approval={latest} element={outcome} onNext={onNext} onClose={onClose} />
      ) : (
        <Decide shown={shown} run={run} deciding={deciding} isReader={isReader} element={element} />
      )}
    </section>
  );
}

/** Events and answers come on two ways: the one that is further counts. */
function newer(approval: ApprovalWire, answer: ApprovalWire | undefined): ApprovalWire {
  if (!answer || answer.revision < approval.revision) return approval;
  return answer.revision > approval.revision || approval.status === 'pending' ? answer : approval;
}
