/** An entry of a progress log. The names are those on the wire. */

/** What an entry may say of how things stand. */
export const entryStatuses = ['info', 'success', 'warn', 'error', 'bug', 'plan'] as const;
/** One of the statuses. */
export type EntryStatus = (typeof entryStatuses)[number];

/** How much an entry may matter, from little to most. */
export const entryPriorities = ['low', 'medium', 'high', 'critical'] as const;
/** How much an entry matters. */
export type EntryPriority = (typeof entryPriorities)[number];

/** Priority of what does not say one. */
export const priorityOf: Readonly<Record<EntryStatus, EntryPriority>> = {
  info: 'low',
  success: 'medium',
  warn: 'medium',
  error: 'high',
  bug: 'high',
  plan: 'medium',
};

export const emojiOf: Readonly<Record<EntryStatus, string>> = {
  info: 'ℹ️',
  success: '✅',
  warn: '⚠️',
  error: '❌',
  bug: '🐞',
  plan: '🧭',
};

/** Anything that JSON can say. */
export type MetaValue = null | boolean | number | string | MetaValue[] | { [key: string]: MetaValue };
/** What there is to say besides, by names of the writer. */
export type Meta = Readonly<Record<string, MetaValue>>;

/** An entry as it is stored and given back. */
export interface Entry {
  readonly id: string;
  readonly project: string;
  /** Its number in the project, from 1. */
  readonly line: number;
  /** When it happened, in milliseconds since 1970. */
  readonly ts: number;
  readonly agent: string;
  readonly session_id: string | null;
  readonly status: EntryStatus;
  readonly emoji: string;
  readonly priority: EntryPriority;
  readonly category: string | null;
  readonly tags: readonly string[];
  /** From 0 to 1. */
  readonly confidence: number | null;
  readonly message: string;
  readonly meta: Meta;
  /** Fencing token of the lease on the log file under which it was written. */
  readonly token: string;
  /** Of the line before it and its own, in lower-case hex. */
  readonly sha256: string;
}
