/**
 * How runs, gates and rules look to the outside: over HTTP, in tools, in events, in the dashboard. Plain JSON with names
 * in snake_case; times are milliseconds since 1970; what there is not is left out. No import of Node: the dashboard has
 * this file too.
 */
import type { AuditHeads } from './audit/run-audit.js';
import type { Message } from './conversation.js';
import type { Gate } from './gates/gate.js';
import type { Rule } from './gates/rules.js';
import type { Effect } from './runs/effect-rows.js';
import type { Run, Ticket, TicketStatus } from './runs/run.js';

/** Tokens of all answers of a run. */
export interface UsageWire {
  readonly input_tokens: number;
  /** The part of them that was not computed anew. */
  readonly cached_tokens: number;
  readonly output_tokens: number;
}

/** What changes of a run. */
export interface RunChangeWire {
  readonly id: string;
  readonly status: Run['status'];
  /** Rounds of tool calls so far. */
  readonly rounds: number;
  readonly usage: UsageWire;
  /** The model's last words, once the run is done. */
  readonly output?: string;
  /** Why it ended before the model had: `rounds`: all rounds of tool calls are used; `length`: the answer was cut. */
  readonly stopped?: 'rounds' | 'length';
  readonly error?: { readonly code: string; readonly message: string };
  /** Of a track. */
  readonly tickets?: readonly TicketWire[];
  readonly updated_at: number;
  readonly ended_at?: number;
}

/** A ticket, and what has become of it. */
export interface TicketWire {
  readonly id: string;
  readonly role: string;
  readonly prompt: string;
  readonly depends_on: readonly string[];
  readonly status: TicketStatus;
  /** The run that works on it. */
  readonly run_id?: string;
}

/** A run. */
export interface RunWire extends RunChangeWire {
  readonly object: 'run';
  readonly agent_id: string;
  readonly session_id: string;
  /** The run that has begun this one. */
  readonly parent_id?: string;
  readonly track_id?: string;
  readonly ticket_id?: string;
  readonly prompt: string;
  readonly base_dir: string;
  readonly provider: string;
  readonly model: string;
  readonly gate: Run['request']['gate'];
  readonly created_at: number;
}

/** A call of a tool, and what came of it. */
export interface CallWire {
  /** Number of the message that asks for it, from 1. */
  readonly message: number;
  readonly position: number;
  readonly tool: string;
  readonly state: Effect['state'];
  /** What ran or would run. */
  readonly payload: Readonly<Record<string, unknown>>;
  readonly approval_id?: string;
  readonly output?: string;
  readonly failed?: boolean;
}

/** A run with all that was said and done in it. */
export interface RunDetailWire extends RunWire {
  readonly messages: readonly Message[];
  readonly calls: readonly CallWire[];
  /** Where the audit of its session was when a call of it began last, or it was done. */
  readonly audit_heads?: AuditHeads;
}

/** A gate. */
export interface ApprovalWire {
  readonly object: 'approval';
  readonly id: string;
  readonly run_id: string;
  readonly ticket_id?: string;
  readonly kind: Gate['kind'];
  /** Of a call. */
  readonly tool?: string;
  readonly status: Gate['status'];
  /** A decision names the one that was seen. */
  readonly revision: number;
  /** As the model wrote it. */
  readonly proposed: Readonly<Record<string, unknown>>;
  /** As it is shown, or was decided; its fields may be edited. */
  readonly payload: Readonly<Record<string, unknown>>;
  readonly preview: { readonly title: string; readonly diff?: string };
  readonly digest: string;
  readonly requester: string;
  readonly created_at: number;
  readonly deadline_at: number;
  readonly decided_at?: number;
  readonly decided_by?: string;
  readonly reason?: string;
}

/** A rule. */
export interface RuleWire {
  readonly object: 'rule';
  readonly id: string;
  readonly run_id: string;
  readonly tool: string;
  readonly folder: string;
  readonly approval_id: string;
  readonly made_by: string;
  readonly created_at: number;
}

export function runWire(run: Run): RunWire {
  const { request } = run;
  return {
    object: 'run',
    ...runChangeWire(run),
    agent_id: run.agentId,
    session_id: run.sessionId,
    ...said({ parent_id: run.parentId, track_id: run.trackId, ticket_id: run.ticketId }),
    prompt: request.prompt,
    base_dir: request.baseDir,
    provider: request.provider,
    model: request.model,
    gate: request.gate,
    created_at: run.createdAt,
  };
}

export function runChangeWire(run: Run): RunChangeWire {
  const { state, request } = run;
  const { input, cached, output } = state.usage;
  return {
    id: run.id,
    status: run.status,
    rounds: state.rounds,
    usage: { input_tokens: input, cached_tokens: cached, output_tokens: output },
    ...said({
      output: state.output,
      stopped: state.stopped,
      error: run.error,
      tickets: request.tickets?.map((ticket) => ticketWire(ticket, run)),
    }),
    updated_at: run.updatedAt,
    ...said({ ended_at: run.endedAt }),
  };
}

function ticketWire({ id, role, prompt, dependsOn }: Ticket, { state }: Run): TicketWire {
  const { status = 'waiting', runId } = state.tickets?.[id] ?? {};
  return { id, role, prompt, depends_on: dependsOn, status, ...said({ run_id: runId }) };
}

export function runDetailWire(
  run: Run,
  messages: readonly Message[],
  effects: readonly Effect[],
): RunDetailWire {
  const { auditHeads } = run.state;
  return { ...runWire(run), messages, calls: effects.map(callWire), ...said({ audit_heads: auditHeads }) };
}

export function callWire({ n, position, tool, state, payload, gateId, outcome }: Effect): CallWire {
  return { message: n, position, tool, state, payload, ...said({ approval_id: gateId }), ...outcome };
}

export function approvalWire(gate: Gate): ApprovalWire {
  return {
    object: 'approval',
    id: gate.id,
    run_id: gate.runId,
    ...said({ ticket_id: gate.ticketId }),
    kind: gate.kind,
    ...said({ tool: gate.tool }),
    status: gate.status,
    revision: gate.revision,
    proposed: gate.proposed,
    payload: gate.payload,
    preview: gate.preview,
    digest: gate.digest,
    requester: gate.requester,
    created_at: gate.createdAt,
    deadline_at: gate.deadlineAt,
    ...said({ decided_at: gate.decidedAt, decided_by: gate.decidedBy, reason: gate.reason }),
  };
}

export function ruleWire({ id, runId, tool, folder, gateId, madeBy, createdAt }: Rule): RuleWire {
  return {
    object: 'rule',
    id,
    run_id: runId,
    tool,
    folder,
    approval_id: gateId,
    made_by: madeBy,
    created_at: createdAt,
  };
}

/** Without the fields that there are not. */
function said<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const present = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(present) as { [K in keyof T]?: Exclude<T[K], undefined> };
}
