/** A line of the queue: who wants what, and for how much longer. */
import type { ApprovalWire } from '../../clutch/wire.js';
import { Badge } from '../parts/badge.js';
import { Deadline } from './deadline.js';

export interface ApprovalRowProps {
  readonly id: string;
  readonly approval: ApprovalWire;
  /** The id of the opened approval. */
  readonly detail: string;
  readonly isOpen: boolean;
  readonly onOpen: () => void;
}

const kinds = { confirm: 'call', step: 'step', spawn: 'new run', ask: 'question' } as const;

export function ApprovalRow({ id, approval, detail, isOpen, onOpen }: ApprovalRowProps) {
  const { kind, tool, status, preview, requester, deadline_at } = approval;
  return (
    <h3>
      <button
        type="button"
        id={id}
        class="row"
        aria-expanded={isOpen}
        aria-controls={isOpen ? detail : undefined}
        onClick={onOpen}
      >
        <span class="row-kind">{kind === 'confirm' && tool !== undefined ? tool : kinds[kind]}</span>
        <span class="row-title">{preview.title}</span>
        <span class="row-who">{requester}</span>
        <span class="row-when">
          {status === 'pending' ? <Deadline at={deadline_at} /> : <Badge status={status} />}
        </span>
      </button>
    </h3>
  );
}
