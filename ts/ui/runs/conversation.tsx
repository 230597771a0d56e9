/** All that was said and done in a run. */
import { useEffect, useState } from 'preact/hooks';
import type { Message } from '../../clutch/conversation.js';
import type { CallWire, RunDetailWire } from '../../clutch/wire.js';
import { ApiError } from '../api/client.js';
import { Badge } from '../parts/badge.js';
import { useServices } from '../state/services.js';

export interface ConversationProps {
  readonly id: string;
  /** Read again when it is another. */
  readonly version: number;
}

export function Conversation({ id, version }: ConversationProps) {
  const { api } = useServices();
  const [detail, setDetail] = useState<RunDetailWire>();
  const [problem, setProblem] = useState<string>();
  useEffect(() => {
    const over = new AbortController();
    api
      .json<RunDetailWire>(`/v1/runs/${encodeURIComponent(id)}`, { signal: over.signal })
      .then(setDetail)
      .catch((error: unknown) => {
        if (error instanceof ApiError) setProblem(error.message);
      });
    return () => over.abort();
  }, [api, id, version]);
  if (problem !== undefined) return <p class="problem">{problem}</p>;
  if (!detail) return <p class="empty">Reading…</p>;
  return (
    <>
      <ol class="messages">
        {detail.messages.map((message, at) => (
          <li key={at}>
            <MessageView message={message} />
          </li>
        ))}
      </ol>
      {detail.calls.length > 0 ? (
        <section>
          <h3>Calls</h3>
          <ol class="calls">
            {detail.calls.map((call) => (
              <li key={`${call.message}.${call.position}`}>
                <CallView call={call} />
              </li>
            ))}
          </ol>
        </section>
      ) : null}
    </>
  );
}

function MessageView({ message }: { readonly message: Message }) {
  if (message.role === 'user') return <Said who="Task" text={message.text} />;
  if (message.role === 'assistant') {
    const asked = message.calls.map((call) => `${call.name} ${call.arguments}`);
    return <Said who="Model" text={[message.text, ...asked].filter(Boolean).join('\n')} />;
  }
  return (
    <>
      {message.results.map((result) => (
        <Said
          key={result.id}
          who={`${result.name}${result.failed ? ' (failed)' : ''}`}
          text={result.output}
        />
      ))}
    </>
  );
}

function Said({ who, text }: { readonly who: string; readonly text: string }) {
  return (
    <>
      <h4>{who}</h4>
      <pre class="said">{text}</pre>
    </>
  );
}

function CallView({ call }: { readonly call: CallWire }) {
  return (
    <>
      <h4>
        <code>{call.tool}</code> <Badge status={call.state} />
      </h4>
      <pre class="said">{JSON.stringify(call.payload, null, 2)}</pre>
      {call.output === undefined ? null : <pre class="said">{call.output}</pre>}
    </>
  );
}
