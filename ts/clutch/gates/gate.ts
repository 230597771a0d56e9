/** What a person holds: something a run would do, as it is shown, until it is decided. */
import { sha256 } from '../../file-text.js';
import type { Payload, Preview } from '../tools/run-tool.js';

/**
 * `confirm`: one call of a tool; `step`: all that a round or a ticket would do; `spawn`: a run that begins another;
 * `ask`: a question to the person, whose answer is the edit.
 */
export const gateKinds = ['confirm', 'step', 'spawn', 'ask'] as const;
/** What a gate holds. */
export type GateKind = (typeof gateKinds)[number];

/** `edited`: approved, with changes. */
export const gateStatuses = ['pending', 'approved', 'edited', 'rejected', 'expired', 'aborted'] as const;
/** What has become of a gate. */
export type GateStatus = (typeof gateStatuses)[number];

/** Something that waits, or has waited, for a person. */
export interface Gate {
  readonly id: string;
  readonly runId: string;
  /** Of a track. */
  readonly ticketId: string | undefined;
  readonly kind: GateKind;
  /** Of a call. */
  readonly tool: string | undefined;
  readonly status: GateStatus;
  /** Rises when what is shown changes; a decision names the one that was seen. */
  readonly revision: number;
  /** As the model has proposed it. */
  readonly proposed: Payload;
  /** As it is shown, and after a decision as it was decided: this is what runs. */
  readonly payload: Payload;
  readonly preview: Preview;
  /** SHA-256 in hex of the JSON text of [kind, payload, preview]: what the person saw. */
  readonly digest: string;
  /** Whose run asks. */
  readonly requester: string;
  readonly createdAt: number;
  /** Undecided until then, it is denied. */
  readonly deadlineAt: number;
  readonly decidedAt: number | undefined;
  readonly decidedBy: string | undefined;
  /** What the person said to it; the model is told. */
  readonly reason: string | undefined;
}

export interface Shown {
  readonly kind: GateKind;
  readonly payload: Payload;
  readonly preview: Preview;
}

export function digestOf({ kind, payload, preview }: Shown): string {
  return sha256(JSON.stringify([kind, payload, preview]));
}

/** Whether what it holds may run. */
export function isGranted({ status }: Pick<Gate, 'status'>): boolean {
  return status === 'approved' || status === 'edited';
}
