/** Who asks, for what, in which run. */
import type { ComponentChildren } from 'preact';
import type { ApprovalWire, RunWire } from '../../clutch/wire.js';
import { firstLine } from '../parts/format.js';
import { useServices } from '../state/services.js';
import { Ago } from './deadline.js';

export interface ApprovalFactsProps {
  readonly approval: ApprovalWire;
  readonly run: RunWire | undefined;
}

export function ApprovalFacts({ approval, run }: ApprovalFactsProps) {
  const { openRun } = useServices();
  return (
    <dl class="facts">
      <Fact name="Asked by">{approval.requester}</Fact>
      {run ? (
        <Fact name="Run">
          <button type="button" class="link" onClick={() => openRun.set(run.id)}>
            {firstLine(run.prompt, 60) || run.id}
          </button>
        </Fact>
      ) : null}
      {approval.ticket_id === undefined ? null : <Fact name="Ticket">{approval.ticket_id}</Fact>}
      <Fact name="Asked">
        <Ago at={approval.created_at} />
      </Fact>
      {approval.revision > 1 ? <Fact name="Revision">{approval.revision}</Fact> : null}
    </dl>
  );
}

function Fact({ name, children }: { readonly name: string; readonly children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
