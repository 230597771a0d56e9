/**
 * What may happen: a closed set. Each event is a change of what the clutch shows, and nothing else changes that. No
 * import of Node: the dashboard has this file too.
 */
import type { ApprovalWire, RuleWire, RunChangeWire, RunWire } from '../wire.js';

/** Event types, each with what it says. */
export interface EventBodies {
  readonly run_started: { readonly run: RunWire };
  readonly run_changed: { readonly run: RunChangeWire };
  /** The lifecycle of one question to a provider. `messages`: how many of the conversation were sent. */
  readonly request_start: {
    readonly round: number;
    readonly provider: string;
    readonly model: string;
    readonly messages: number;
  };
  /** More of what the model says, in the round that has begun last. */
  readonly text: { readonly text: string; readonly reasoning: string };
  /** What was said since `request_start` counts no more: it is asked again. */
  readonly text_reset: { readonly attempt: number; readonly wait_ms: number; readonly reason: string };
  readonly response_received: {
    readonly round: number;
    readonly finish: 'stop' | 'calls' | 'length';
    readonly ms: number;
    readonly text: string;
    readonly calls: readonly { readonly id: string; readonly name: string; readonly arguments: string }[];
  };
  /** A call of a tool begins, or has come to an end. */
  readonly tool_execution: {
    readonly phase: 'start' | 'end';
    readonly call_id: string;
    readonly tool: string;
    readonly payload: Readonly<Record<string, unknown>>;
    readonly output?: string;
    readonly failed?: boolean;
    readonly ms?: number;
  };
  readonly gate_opened: { readonly approval: ApprovalWire };
  readonly gate_changed: { readonly approval: ApprovalWire };
  readonly gate_decided: { readonly approval: ApprovalWire };
  readonly rule_made: { readonly rule: RuleWire };
  readonly rule_revoked: { readonly rule: RuleWire };
}

export type EventType = keyof EventBodies;

/** @param T its type: one of all, where nothing is said */
export type ClutchEvent<T extends EventType = EventType> = {
  readonly [K in T]: {
    /** From 1, without gaps, in the order in which they were committed. */
    readonly seq: number;
    readonly type: K;
    /** The run that it is about. */
    readonly run_id: string;
    readonly at: number;
    readonly body: EventBodies[K];
  };
}[T];

/** An event before it has a number. */
export type NewEvent<T extends EventType = EventType> = {
  readonly [K in T]: Omit<ClutchEvent<K>, 'seq'>;
}[T];

/** An event as it is told, before it is recorded. */
export type EmittedEvent<T extends EventType = EventType> = {
  readonly [K in T]: Omit<ClutchEvent<K>, 'seq' | 'at'>;
}[T];
