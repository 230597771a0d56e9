/** The bar at the top: how the page stands with the server, and how the server is. */
import type { ClutchState } from '../clutch/events/state.js';
import { bytes } from './parts/format.js';
import type { Link } from './state/live-state.js';
import { useServices } from './state/services.js';
import { useStore } from './state/store.js';
import { ThemeButton } from './theme-button.js';

export interface HeaderProps {
  readonly state: ClutchState | undefined;
  readonly onHelp: () => void;
}

export function Header({ state, onHelp }: HeaderProps) {
  const { live, token } = useServices();
  const link = useStore(live.link);
  const isReader = useStore(token) === undefined;
  const system = state?.system;
  return (
    <header class="top">
      <h1>stomp-serve</h1>
      <p class={`link-state ${link.status}`} role="status">
        <span class="dot" aria-hidden="true" /> {words(link)}
      </p>
      {link.status === 'waiting' ? (
        <button type="button" class="quiet" onClick={() => live.retryNow()}>
          Try now
        </button>
      ) : null}
      {isReader ? <span class="reader">read only</span> : null}
      {system ? (
        <p class="figures">
          <span>CPU {Math.round(system.cpu_percent)} %</span>
          <span>{bytes(system.rss_bytes)}</span>
          <span>loop {Math.round(system.loop_delay_p99_ms)} ms</span>
          <span>queue {system.queue_depth}</span>
        </p>
      ) : null}
      <div class="tools">
        <ThemeButton />
        <button type="button" class="quiet" onClick={onHelp}>
          Keys <kbd>?</kbd>
        </button>
      </div>
    </header>
  );
}

function words(link: Link): string {
  if (link.status === 'live') return 'live';
  if (link.status === 'connecting') return 'connecting…';
  return link.status === 'waiting' ? 'reconnecting…' : 'not allowed';
}
