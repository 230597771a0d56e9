/** The newest events, since the page was opened. */
import type { ClutchEvent } from '../../clutch/events/event.js';
import type { ClutchState } from '../../clutch/events/state.js';
import { clockTime, firstLine } from '../parts/format.js';
import { titleOf } from '../runs/run-order.js';
import { useServices } from '../state/services.js';
import { useStore } from '../state/store.js';

export function LogPanel({ state }: { readonly state: ClutchState }) {
  const { live } = useServices();
  const events = useStore(live.log);
  if (events.length === 0) return <p class="empty">Nothing has happened since you opened this page.</p>;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, and must do so by keys too
    <section class="log" aria-label="Recent events" tabIndex={0} data-scroll>
      <ol reversed>
        {events.toReversed().map((event) => {
          const run = state.runs[event.run_id];
          return (
            <li key={event.seq}>
              <time>{clockTime(event.at)}</time> <b>{event.type.replaceAll('_', ' ')}</b> {wordsOf(event)}
              <span class="meta"> {run ? firstLine(titleOf(run), 40) : event.run_id}</span>
            </li>
          );
        })}
      </ol>
    </section>
  );
}

function wordsOf(event: ClutchEvent): string {
  switch (event.type) {
    case 'run_started':
    case 'run_changed':
      return event.body.run.status.replaceAll('_', ' ');
    case 'gate_opened':
    case 'gate_changed':
      return event.body.approval.preview.title;
    case 'gate_decided': {
      const { status, decided_by } = event.body.approval;
      return decided_by === undefined ? status : `${status} by ${decided_by}`;
    }
    case 'rule_made':
    case 'rule_revoked':
      return `${event.body.rule.tool} in ${event.body.rule.folder}`;
    case 'tool_execution':
      return `${event.body.tool} ${event.body.phase}${event.body.failed ? ', failed' : ''}`;
    case 'request_start':
      return `round ${event.body.round}, ${event.body.provider} ${event.body.model}`;
    case 'response_received':
      return `round ${event.body.round}, ${event.body.finish}`;
    case 'text_reset':
      return event.body.reason;
    default:
      return '';
  }
}
