/** Says what is new: to screen readers, and for a while on the page. */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { ClutchState } from '../clutch/events/state.js';
import { tell, useServices } from './state/services.js';
import { useStore } from './state/store.js';

const shownMs = 8000;

export function Announcer({ state }: { readonly state: ClutchState | undefined }) {
  const services = useServices();
  const notice = useStore(services.notice);
  const [isShown, setShown] = useState(false);
  useNewApprovals(state);
  useEffect(() => {
    if (!notice) return undefined;
    setShown(true);
    const timer = setTimeout(() => setShown(false), shownMs);
    return () => clearTimeout(timer);
  }, [notice]);
  return (
    <div class={isShown ? 'notice shown' : 'notice'}>
      <p role="status" aria-live="polite" class={notice?.kind}>
        {isShown ? notice?.text : ''}
      </p>
    </div>
  );
}

function useNewApprovals(state: ClutchState | undefined): void {
  const services = useServices();
  const known = useRef<ReadonlySet<string>>(undefined);
  useEffect(() => {
    if (!state) return;
    const pending = Object.values(state.approvals).filter(({ status }) => status === 'pending');
    const fresh = known.current ? pending.filter(({ id }) => !known.current?.has(id)) : [];
    known.current = new Set(Object.keys(state.approvals));
    const [first] = fresh;
    if (!first) return;
    const others = fresh.length > 1 ? `, and ${fresh.length - 1} more` : '';
    tell(services, `${first.requester} waits for you: ${first.preview.title}${others}`);
  }, [state?.approvals]);
}
