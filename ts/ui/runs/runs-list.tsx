/** All runs, with how each of them is. */
import type { ClutchState } from '../../clutch/events/state.js';
import { Badge } from '../parts/badge.js';
import { useServices } from '../state/services.js';
import { useStore } from '../state/store.js';
import { listRuns, titleOf } from './run-order.js';

export function RunsList({ state, onStart }: { readonly state: ClutchState; readonly onStart: () => void }) {
  const { openRun, token } = useServices();
  const open = useStore(openRun);
  const isReader = useStore(token) === undefined;
  const listed = listRuns(Object.values(state.runs));
  return (
    <nav class="runs" aria-label="Runs">
      <div class="head runs-head">
        <h2>Runs</h2>
        <button type="button" onClick={onStart} disabled={isReader}>
          New run
        </button>
      </div>
      {listed.length === 0 ? <p class="empty">No runs yet.</p> : null}
      <ul>
        {listed.map(({ run, depth }) => (
          <li key={run.id} data-depth={depth}>
            <button
              type="button"
              class="run-row"
              aria-current={run.id === open ? 'true' : undefined}
              onClick={() => openRun.set(run.id === open ? undefined : run.id)}
            >
              <span class="run-title">{titleOf(run)}</span>
              <span class="run-meta">
                <Badge status={run.status} />
                <span>
                  {run.ticket_id ?? run.agent_id} · {run.model || run.provider}
                </span>
              </span>
            </button>
          </li>
        ))}
      </ul>
    </nav>
  );
}
