/** One run: how it is, what it says at this moment, what it has done. */
import { useState } from 'preact/hooks';
import type { RunView as RunState } from '../../clutch/events/state.js';
import { ApiError } from '../api/client.js';
import { Badge } from '../parts/badge.js';
import { clockTime, count, shortPath } from '../parts/format.js';
import { tell, useServices } from '../state/services.js';
import { useStore } from '../state/store.js';
import { Activity } from './activity.js';
import { Conversation } from './conversation.js';
import { isOver, titleOf } from './run-order.js';
import { Tickets } from './tickets.js';

export function RunView({ run }: { readonly run: RunState }) {
  const { openRun } = useServices();
  const [isWhole, setWhole] = useState(false);
  const { input_tokens: input, cached_tokens: cached, output_tokens: output } = run.usage;
  return (
    <section class="run" aria-label="Run">
      <div class="head">
        <h2>{titleOf(run)}</h2>
        <Badge status={run.status} />
        <AbortRun run={run} />
        <button type="button" class="quiet" onClick={() => openRun.set(undefined)}>
          Close
        </button>
      </div>
      <p class="meta">
        {run.agent_id} · {run.provider} {run.model} · gate {run.gate} ·{' '}
        <span title={run.base_dir}>{shortPath(run.base_dir)}</span>
      </p>
      <p class="meta">
        began {clockTime(run.created_at)} · round {run.rounds} · {count(input)} tokens in, of which{' '}
        {count(cached)} cached, {count(output)} out
      </p>
      {run.error ? (
        <p class="problem">
          {run.error.code}: {run.error.message}
        </p>
      ) : null}
      {run.stopped ? <p class="hint">{stopped[run.stopped]}</p> : null}
      {run.tickets ? <Tickets tickets={run.tickets} /> : null}
      <Activity run={run} />
      {run.output === undefined ? null : (
        <section>
          <h3>Answer</h3>
          <pre class="said">{run.output}</pre>
        </section>
      )}
      <button type="button" class="link" aria-expanded={isWhole} onClick={() => setWhole(!isWhole)}>
        {isWhole ? 'Hide the whole conversation' : 'Show the whole conversation'}
      </button>
      {isWhole ? <Conversation id={run.id} version={run.updated_at} /> : null}
    </section>
  );
}

const stopped = {
  rounds: 'It has used all of its rounds of tool calls and was stopped.',
  length: 'Its last answer was cut: the limit of tokens was reached.',
} as const;

function AbortRun({ run }: { readonly run: RunState }) {
  const services = useServices();
  const isReader = useStore(services.token) === undefined;
  const [isAsking, setAsking] = useState(false);
  if (isOver(run) || isReader) return null;
  const abort = async () => {
    setAsking(false);
    try {
      await services.api.json(`/v1/runs/${encodeURIComponent(run.id)}/abort`, { method: 'POST', body: {} });
      tell(services, 'The run is aborted.');
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      tell(services, error.message, 'problem');
    }
  };
  if (!isAsking)
    return (
      <button type="button" class="danger" onClick={() => setAsking(true)}>
        Abort…
      </button>
    );
  return (
    <>
      <button type="button" class="danger" onClick={() => void abort()}>
        Abort this run
      </button>
      <button type="button" class="quiet" onClick={() => setAsking(false)}>
        Keep it
      </button>
    </>
  );
}
