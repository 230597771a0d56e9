/** What else goes on in the server: one panel at a time, and only that one is asked for. */
import type { ComponentChildren } from 'preact';
import { useEffect, useId, useState } from 'preact/hooks';
import type { ClutchState } from '../../clutch/events/state.js';
import { ApiError } from '../api/client.js';
import { useServices } from '../state/services.js';
import { useStore } from '../state/store.js';
import { AgentsPanel } from './agents-panel.js';
import { LocksPanel } from './locks-panel.js';
import { LogPanel } from './log-panel.js';
import { PoolPanel } from './pool-panel.js';
import { ProjectsPanel } from './projects-panel.js';
import { ReservationsPanel } from './reservations-panel.js';
import { RulesPanel } from './rules-panel.js';
import { SystemPanel } from './system-panel.js';

interface Panel {
  readonly name: string;
  readonly draw: (state: ClutchState) => ComponentChildren;
  /** The panel is left out where the key may not see this. */
  readonly guarded?: string;
}

const panels: readonly Panel[] = [
  { name: 'Agents', draw: () => <AgentsPanel />, guarded: '/v1/agents' },
  { name: 'Pool', draw: () => <PoolPanel />, guarded: '/v1/admin/stats' },
  { name: 'Locks', draw: () => <LocksPanel /> },
  { name: 'Projects', draw: () => <ProjectsPanel /> },
  { name: 'Reservations', draw: () => <ReservationsPanel /> },
  { name: 'Rules', draw: (state) => <RulesPanel state={state} /> },
  { name: 'Log', draw: (state) => <LogPanel state={state} /> },
  { name: 'System', draw: (state) => <SystemPanel state={state} /> },
];

export function Panels({ state }: { readonly state: ClutchState }) {
  const id = useId();
  const shown = usePermitted();
  const [chosen, setChosen] = useState('Agents');
  const open = shown.find(({ name }) => name === chosen) ?? shown[0];
  const move = (event: KeyboardEvent) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step === undefined || !open) return;
    const next = shown[(shown.indexOf(open) + step + shown.length) % shown.length];
    if (!next) return;
    event.preventDefault();
    setChosen(next.name);
    document.getElementById(`${id}-${next.name}`)?.focus();
  };
  return (
    <aside class="panels" aria-label="Server">
      <div class="tabs" role="tablist" aria-label="Panels" onKeyDown={move}>
        {shown.map(({ name }) => (
          <button
            key={name}
            type="button"
            role="tab"
            id={`${id}-${name}`}
            aria-selected={name === open?.name}
            aria-controls={`${id}-panel`}
            tabIndex={name === open?.name ? 0 : -1}
            onClick={() => setChosen(name)}
          >
            {name}
          </button>
        ))}
      </div>
      {open ? (
        <div
          role="tabpanel"
          id={`${id}-panel`}
          aria-labelledby={`${id}-${open.name}`}
          class="panel"
          key={open.name}
        >
          <h2 class="visually-hidden">{open.name}</h2>
          {open.draw(state)}
        </div>
      ) : null}
    </aside>
  );
}

/** Asked once, and again with another token. */
function usePermitted(): readonly Panel[] {
  const { api, token } = useServices();
  const key = useStore(token);
  const [refused, setRefused] = useState<ReadonlySet<string>>(new Set());
  useEffect(() => {
    const over = new AbortController();
    const isRefused = ({ guarded = '' }: Panel) =>
      api
        .open(guarded, { signal: over.signal })
        .then((response) => response.body?.cancel().then(() => false))
        .catch((error: unknown) => error instanceof ApiError && error.isForbidden);
    const guarded = panels.filter((panel) => panel.guarded !== undefined);
    void Promise.all(guarded.map(isRefused)).then((answers) => {
      if (over.signal.aborted) return;
      setRefused(new Set(guarded.filter((_, at) => answers[at]).map(({ name }) => name)));
    });
    return () => over.abort();
  }, [api, key]);
  return panels.filter(({ name }) => !refused.has(name));
}
