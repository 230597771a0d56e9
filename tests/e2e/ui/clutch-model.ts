/** What the server knows, in memory, with the types, the events and the refusals of the real one. */
import { createHash, randomUUID } from 'node:crypto';
import type { ClutchEvent, EventBodies, EventType } from '../../../ts/clutch/events/event.js';
import { type ClutchState, emptyState, reduce } from '../../../ts/clutch/events/state.js';
import type { ApprovalWire, RuleWire, RunWire } from '../../../ts/clutch/wire.js';

export interface Resolve {
  readonly decision: 'approve' | 'reject' | 'abort';
  readonly edits?: Readonly<Record<string, unknown>>;
  readonly reason?: string;
  readonly revision: number;
  readonly remember?: { readonly tool: string; readonly folder: string };
}

export class Refusal extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** A part of an approval, the rest of which has defaults. */
export type Asked = Partial<ApprovalWire> & Pick<ApprovalWire, 'payload'>;

export class ClutchModel {
  state: ClutchState = emptyState();
  readonly events: ClutchEvent[] = [];
  /** As they arrived, taken or not. */
  readonly requests: { readonly path: string; readonly body: unknown }[] = [];
  readonly #listeners = new Set<() => void>();

  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  emit<T extends EventType>(type: T, runId: string, body: EventBodies[T]): void {
    const event = { seq: this.state.seq + 1, type, run_id: runId, at: Date.now(), body } as ClutchEvent;
    this.events.push(event);
    this.state = reduce(this.state, event);
    for (const listener of [...this.#listeners]) listener();
  }

  /** As a server with a new database. */
  forget(): void {
    this.state = emptyState();
    this.events.length = 0;
  }

  start(given: Partial<RunWire> = {}): RunWire {
    const now = Date.now();
    const id = given.id ?? randomUUID();
    const run: RunWire = {
      object: 'run',
      id,
      agent_id: `agent-${id.slice(0, 4)}`,
      session_id: `session-${id.slice(0, 4)}`,
      status: 'sending',
      rounds: 0,
      usage: { input_tokens: 0, cached_tokens: 0, output_tokens: 0 },
      prompt: 'A task',
      base_dir: '/home/ann/shop',
      provider: 'engine',
      model: 'qwen3-coder-30b',
      gate: 'all',
      created_at: now,
      updated_at: now,
      ...given,
    };
    this.emit('run_started', id, { run });
    return run;
  }

  ask(run: RunWire, asked: Asked): ApprovalWire {
    const now = Date.now();
    const shown = {
      kind: 'confirm' as const,
      ...(asked.kind === undefined ? { tool: 'run_script' } : {}),
      preview: { title: 'Run a script in /home/ann/shop, at most 60 s' },
      ...asked,
    };
    const approval: ApprovalWire = {
      object: 'approval',
      id: randomUUID(),
      run_id: run.id,
      status: 'pending',
      revision: 1,
      proposed: shown.payload,
      digest: digestOf(shown),
      requester: run.agent_id,
      created_at: now,
      deadline_at: now + 3_600_000,
      ...shown,
    };
    this.emit('gate_opened', run.id, { approval });
    return approval;
  }

  show(id: string, shown: Pick<ApprovalWire, 'payload' | 'preview'>): ApprovalWire {
    const before = this.approval(id);
    const approval = {
      ...before,
      ...shown,
      revision: before.revision + 1,
      digest: digestOf({ ...before, ...shown }),
    };
    this.emit('gate_changed', approval.run_id, { approval });
    return approval;
  }

  approval(id: string): ApprovalWire {
    const approval = this.state.approvals[id];
    if (!approval) throw new Refusal(404, 'APPROVAL_NOT_FOUND', `There is no approval ${id}.`);
    return approval;
  }

  resolve(id: string, { decision, edits, reason, revision, remember }: Resolve, by: string): ApprovalWire {
    const before = this.approval(id);
    refuseLate(before, revision);
    const status = { approve: edits ? 'edited' : 'approved', reject: 'rejected', abort: 'aborted' } as const;
    const approval: ApprovalWire = {
      ...before,
      status: status[decision],
      payload: { ...before.payload, ...edits },
      decided_at: Date.now(),
      decided_by: by,
      ...(reason === undefined ? {} : { reason }),
    };
    this.emit('gate_decided', approval.run_id, { approval });
    if (remember) this.#remember(approval, remember, by);
    if (decision === 'abort') this.abort(approval.run_id);
    return approval;
  }

  abort(id: string): RunWire {
    const run = this.state.runs[id];
    if (!run) throw new Refusal(404, 'RUN_NOT_FOUND', `There is no run ${id}.`);
    const now = Date.now();
    this.emit('run_changed', id, { run: { ...run, status: 'aborted', updated_at: now, ended_at: now } });
    return this.state.runs[id] ?? run;
  }

  revoke(id: string): RuleWire {
    const rule = this.state.rules[id];
    if (!rule) throw new Refusal(404, 'NOT_FOUND', `There is no rule ${id}.`);
    this.emit('rule_revoked', rule.run_id, { rule });
    return rule;
  }

  #remember(approval: ApprovalWire, where: { tool: string; folder: string }, by: string): void {
    const { run_id, id } = approval;
    const rule: RuleWire = {
      object: 'rule',
      id: randomUUID(),
      run_id,
      ...where,
      approval_id: id,
      made_by: by,
      created_at: Date.now(),
    };
    this.emit('rule_made', run_id, { rule });
  }
}

function refuseLate(approval: ApprovalWire, revision: number): void {
  const { id, status, deadline_at, decided_by } = approval;
  if (status === 'expired' || (status === 'pending' && deadline_at <= Date.now()))
    throw new Refusal(410, 'APPROVAL_EXPIRED', `The approval ${id} has expired.`);
  if (status !== 'pending')
    throw new Refusal(409, 'APPROVAL_DECIDED', `The approval ${id} is ${status} already by ${decided_by}.`);
  if (revision !== approval.revision)
    throw new Refusal(409, 'APPROVAL_CHANGED', `The approval ${id} shows something else by now.`);
}

function digestOf({ kind, payload, preview }: Pick<ApprovalWire, 'kind' | 'payload' | 'preview'>): string {
  return createHash('sha256')
    .update(JSON.stringify([kind, payload, preview]))
    .digest('hex');
}
