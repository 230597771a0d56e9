/** A run: a task that a model works on with tools, until it answers in words. */
import type { StompErrorCode } from '../../errors.js';
import type { AuditHeads } from '../audit/run-audit.js';

/** What a run may be at. */
export const runStatuses = [
  'idle',
  'sending',
  'awaiting_approval',
  'running_tool',
  'fetching',
  'done',
  'error',
  'aborted',
] as const;

/** `idle`: it has not begun, or nobody works on it at the moment. */
export type RunStatus = (typeof runStatuses)[number];

/**
 * What waits for a person. `all`: every call that changes something, by itself; `step`: all that a round would change,
 * at once; `none`: nothing.
 */
export const gatePolicies = ['all', 'step', 'none'] as const;
/** What of a run waits for a person. */
export type GatePolicy = (typeof gatePolicies)[number];

/** A part of a track, which a run of its own works on. */
export interface Ticket {
  /** `[A-Za-z0-9_.-]`, 1 to 64 characters; unique in the track. */
  readonly id: string;
  readonly role: string;
  readonly prompt: string;
  /** Tickets that must be done before. */
  readonly dependsOn: readonly string[];
}

/** `blocked`: one that it depends on is not done and never will be. */
export const ticketStatuses = ['waiting', 'running', 'done', 'failed', 'rejected', 'blocked'] as const;
/** What has become of a ticket. */
export type TicketStatus = (typeof ticketStatuses)[number];

/** What a run is asked for; it does not change. */
export interface RunRequest {
  /** What a run that another one has begun is there for. */
  readonly role?: string;
  /** How many runs lie between it and the one that a person has begun. */
  readonly depth?: number;
  /** Of a track, which begins a run for each and asks no model itself. */
  readonly tickets?: readonly Ticket[];
  readonly prompt: string;
  /** Documents that the model is to know, as Markdown. */
  readonly stableMd: string;
  /** Files that it is given to read, and told of when they change; canonical. */
  readonly fileItems: readonly string[];
  /** A discussion that went before, as text. */
  readonly discText: string;
  /** Where it works; canonical. */
  readonly baseDir: string;
  readonly provider: string;
  readonly model: string;
  readonly temperature: number;
  readonly maxTokens: number;
  /** The tool that the model has to call first. */
  readonly firstTool?: string;
  readonly gate: GatePolicy;
  /** Undecided for so long, a gate is denied. */
  readonly gateTimeoutMs: number;
}

/** How far it has come, beside its messages. */
export interface RunState {
  /** Rounds of tool calls. */
  readonly rounds: number;
  /** Bytes of what tools have put out. */
  readonly outputBytes: number;
  /** Whether the model has been warned that there is little room left for more. */
  readonly warned: boolean;
  readonly usage: { readonly input: number; readonly cached: number; readonly output: number };
  /** Why it ended before the model had: `rounds`: it asked for tools in every one it was given. */
  readonly stopped?: 'rounds' | 'length';
  /** The model's last words, once it is done. */
  readonly output?: string;
  /** Where the audit was when a call began last, or the model was done: kept apart from it, they show whether its end is missing. */
  readonly auditHeads?: AuditHeads;
  /** By id, those that have begun. */
  readonly tickets?: Readonly<Record<string, { readonly status: TicketStatus; readonly runId?: string }>>;
}

export const freshState: RunState = {
  rounds: 0,
  outputBytes: 0,
  warned: false,
  usage: { input: 0, cached: 0, output: 0 },
};

export interface RunError {
  readonly code: StompErrorCode;
  readonly message: string;
}

/** A run as its row has it. */
export interface Run {
  readonly id: string;
  readonly agentId: string;
  readonly sessionId: string;
  /** The run that has begun this one. */
  readonly parentId: string | undefined;
  readonly trackId: string | undefined;
  readonly ticketId: string | undefined;
  readonly status: RunStatus;
  readonly request: RunRequest;
  readonly state: RunState;
  readonly error: RunError | undefined;
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly endedAt: number | undefined;
}
