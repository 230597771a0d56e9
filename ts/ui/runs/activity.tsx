/** What a run has said and done of late, and what it says now. */
import type { Activity as Item, LiveRun, RunView } from '../../clutch/events/state.js';
import { clockTime, duration } from '../parts/format.js';

export function Activity({ run }: { readonly run: RunView }) {
  return (
    <section>
      <h3>Activity</h3>
      {run.activity.length === 0 && !run.live ? <p class="empty">Nothing was said or done yet.</p> : null}
      <ol class="activity">
        {run.activity.map((item) => (
          <li key={item.seq} class={item.kind}>
            <ItemView item={item} />
          </li>
        ))}
      </ol>
      {run.live ? <Live live={run.live} /> : null}
    </section>
  );
}

function ItemView({ item }: { readonly item: Item }) {
  const time = <time>{clockTime(item.at)}</time>;
  if (item.kind === 'said')
    return (
      <>
        <h4>{time} said</h4>
        <pre class="said">{item.text}</pre>
      </>
    );
  if (item.kind === 'call')
    return (
      <details>
        <summary>
          {time} calls <code>{item.tool}</code>
        </summary>
        <pre class="said">{item.text}</pre>
      </details>
    );
  const took = item.ms === undefined ? '' : ` after ${duration(item.ms)}`;
  return (
    <details open={item.failed}>
      <summary>
        {time} <code>{item.tool}</code> {item.failed ? <strong class="failed">failed</strong> : 'came back'}
        {took}
      </summary>
      <pre class="said">{item.text === '' ? 'It put nothing out.' : item.text}</pre>
    </details>
  );
}

function Live({ live }: { readonly live: LiveRun }) {
  return (
    <div class="live">
      {live.retry ? (
        <p class="hint">
          Asks the provider again (attempt {live.retry.attempt}): {live.retry.reason}
        </p>
      ) : null}
      {live.reasoning === '' ? null : (
        <details>
          <summary>thinks</summary>
          <pre class="said">{live.reasoning}</pre>
        </details>
      )}
      {live.text === '' ? null : <pre class="said streaming">{live.text}</pre>}
      {live.tools.map(({ call_id, tool }) => (
        <p key={call_id} class="hint">
          running <code>{tool}</code>…
        </p>
      ))}
    </div>
  );
}
