/** Everything that waits for the person, whoever has waited the longest first; one of it is open. */
import { useEffect, useId, useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { ClutchState } from '../../clutch/events/state.js';
import type { ApprovalWire } from '../../clutch/wire.js';
import { useCommands } from '../state/use-commands.js';
import { ApprovalDetail } from './approval-detail.js';
import { ApprovalRow } from './approval-row.js';
import { neighbour, queueOf } from './queue-order.js';

export function Queue({ state }: { readonly state: ClutchState }) {
  const base = useId();
  const list = useRef<HTMLElement>(null);
  const [chosen, setChosen] = useState<string>();
  const approvals = Object.values(state.approvals);
  const open = chosen !== undefined && state.approvals[chosen] ? chosen : undefined;
  const queue = queueOf(approvals, open);
  const waiting = queue.filter(({ status }) => status === 'pending').length;

  useEffect(() => {
    if (open === undefined && queue[0]) setChosen(queue[0].id);
  });
  useFocusKept(list, queue);

  const go = (id: string | undefined) => {
    if (id === undefined) return;
    setChosen(id);
    requestAnimationFrame(() => {
      const row = document.getElementById(`${base}-row-${id}`);
      row?.focus({ preventScroll: true });
      row?.scrollIntoView({ block: 'nearest' });
    });
  };
  const next = neighbour(queue, open, 1);
  useCommands({
    next: () => go(next),
    previous: () => go(neighbour(queue, open, -1)),
  });

  return (
    <section class="queue" ref={list} tabIndex={-1} aria-labelledby={`${base}-title`}>
      <h2 id={`${base}-title`}>
        Waiting for you <span class={waiting > 0 ? 'count some' : 'count'}>{waiting}</span>
      </h2>
      {queue.length === 0 ? <p class="empty">Nothing waits for you.</p> : null}
      <ol class="rows">
        {queue.map((approval) => {
          const isOpen = approval.id === open;
          const detail = `${base}-detail-${approval.id}`;
          const run = state.runs[approval.run_id];
          return (
            <li key={approval.id} class={isOpen ? 'open' : undefined}>
              <ApprovalRow
                id={`${base}-row-${approval.id}`}
                approval={approval}
                detail={detail}
                isOpen={isOpen}
                onOpen={() => setChosen(approval.id)}
              />
              {isOpen ? (
                <ApprovalDetail
                  key={approval.id}
                  id={detail}
                  approval={approval}
                  run={run}
                  onNext={next === undefined ? undefined : () => go(next)}
                  onClose={() => setChosen(undefined)}
                />
              ) : null}
            </li>
          );
        })}
      </ol>
    </section>
  );
}

/** When the row that had the focus is gone, the list has it: a screen reader stays where it was. */
function useFocusKept(list: { readonly current: HTMLElement | null }, queue: readonly ApprovalWire[]): void {
  const had = useRef(false);
  useEffect(() => {
    const note = () => {
      const { activeElement } = document;
      if (activeElement !== document.body) had.current = list.current?.contains(activeElement) === true;
    };
    document.addEventListener('focusin', note);
    return () => document.removeEventListener('focusin', note);
  }, []);
  useLayoutEffect(() => {
    if (had.current && document.activeElement === document.body) list.current?.focus({ preventScroll: true });
  }, [queue]);
}
