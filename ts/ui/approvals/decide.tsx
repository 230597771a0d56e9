/** The lower end of an open approval, where it is decided: by buttons and by keys. */
import type { RefObject } from 'preact';
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { RunWire } from '../../clutch/wire.js';
import { type Services, tell, useServices } from '../state/services.js';
import { useCommands } from '../state/use-commands.js';
import { type Asking, DecisionBar } from './decision-bar.js';
import { answerKey } from './question.js';
import { canRemember, folderOf, Remember, type Remembered } from './remember.js';
import type { Deciding, DecisionInput } from './use-decision.js';
import type { Shown } from './use-shown.js';

export interface DecideProps {
  readonly shown: Shown;
  readonly run: RunWire | undefined;
  readonly deciding: Deciding;
  /** There is no token. */
  readonly isReader: boolean;
  /** The whole approval. */
  readonly element: RefObject<HTMLElement | null>;
}

export function Decide({ shown, run, deciding, isReader, element }: DecideProps) {
  const services = useServices();
  const { seen, reading } = shown;
  const [asking, setAsking] = useState<Asking>();
  const [remembered, setRemembered] = useState<Remembered>({ isOn: false, folder: folderOf(seen, run) });
  const reasonField = useRef<HTMLInputElement>(null);
  const abortButton = useRef<HTMLButtonElement>(null);
  const isFixed = isReader || shown.isOutdated;
  const canApprove = !isFixed && isApprovable(shown);

  const decide = (input: DecisionInput) => void deciding.decide(seen, input);
  const approve = () =>
    decide({ decision: 'approve', edits: reading.edits, remember: rememberOf(shown, remembered) });
  const ask = (next: Asking) => {
    setAsking(next);
    if (next === undefined) element.current?.focus({ preventScroll: true });
  };

  // At once: the next key is the first one of the reason.
  useLayoutEffect(() => {
    if (asking === 'reject') reasonField.current?.focus();
    if (asking === 'abort') abortButton.current?.focus();
  }, [asking]);
  const byKey = (act: () => void) => () => {
    const reason = isReader ? 'To decide, enter the approver token.' : unread(shown);
    if (reason !== undefined) tell(services, reason);
    else if (!isInSight(element.current)) showAgain(services, element.current);
    else act();
  };
  useCommands({
    approve: byKey(() => (canApprove ? approve() : focusFirst(element.current))),
    reject: byKey(() => ask('reject')),
    abort: byKey(() => ask('abort')),
    ...(asking === undefined ? {} : { back: () => ask(undefined) }),
  });

  return (
    <>
      {canRemember(seen) && !isFixed ? (
        <Remember tool={seen.tool ?? ''} value={remembered} onChange={setRemembered} />
      ) : null}
      <footer class="decide">
        {deciding.problem === undefined ? null : (
          <p class="problem" role="alert">
            {deciding.problem}
          </p>
        )}
        {isReader ? <p class="hint">You may look. To decide, enter the approver token above.</p> : null}
        <DecisionBar
          approveLabel={approveLabel(shown)}
          canApprove={canApprove}
          isBusy={deciding.isBusy}
          isFixed={isFixed}
          asking={asking}
          reasonField={reasonField}
          abortButton={abortButton}
          onApprove={approve}
          onReject={(reason) => decide({ decision: 'reject', reason: reason.trim() || undefined })}
          onAbort={() => decide({ decision: 'abort' })}
          onAsk={ask}
        />
      </footer>
    </>
  );
}

export function focusFirst(element: HTMLElement | null): void {
  const fields = [...(element?.querySelectorAll<HTMLElement>('[data-editable]') ?? [])];
  const first = fields.find((field) => field instanceof HTMLTextAreaElement) ?? fields[0];
  first?.focus();
}

/** Why the person cannot have read what a key is about to decide; undefined when they can. */
function unread(shown: Shown): string | undefined {
  if (shown.isOutdated) return 'It has changed: look again first.';
  return shown.isFresh() ? 'It has only just appeared. Look at it first.' : undefined;
}

function isInSight(element: HTMLElement | null): boolean {
  const box = element?.getBoundingClientRect();
  const margin = 80;
  return box !== undefined && box.top < window.innerHeight - margin && box.bottom > margin;
}

function showAgain(services: Services, element: HTMLElement | null): void {
  element?.scrollIntoView({ block: 'start' });
  tell(services, 'This is what waits for your decision. Press the key again.');
}

/** A question needs an answer; everything else, fields that can be read. */
function isApprovable({ seen, draft, reading }: Shown): boolean {
  if (Object.keys(reading.problems).length > 0) return false;
  if (seen.kind !== 'ask') return true;
  const { answer } = reading.payload;
  return draft[answerKey] !== undefined && typeof answer === 'string' && answer.trim() !== '';
}

function rememberOf({ seen }: Shown, { isOn, folder }: Remembered): DecisionInput['remember'] {
  if (!isOn || !canRemember(seen) || seen.tool === undefined) return undefined;
  return { tool: seen.tool, folder };
}

function approveLabel({ seen, reading }: Shown): string {
  if (seen.kind === 'ask') return 'Answer';
  return reading.edits === undefined ? 'Approve' : 'Approve edited';
}
