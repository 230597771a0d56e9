/** What the context manager takes for its progress logs. */
import type { EntryInput } from './new-entry.js';
import type { EntryFilter, EntryQuery, Paging } from './query-types.js';

/** Whose call it is. Who names nobody is the agent "Scribe". */
export interface Caller {
  readonly agentId?: string;
  /** One that is alive, and the agent's. Needed by whoever names an agent and changes something. */
  readonly sessionId?: string;
}

/** Of all messages of the call that do not say otherwise themselves. */
export interface AppendOptions extends Omit<EntryInput, 'message'>, Caller {
  /** @default what the agent works on */
  readonly project?: string;
  /** Takes the call back while it waits for its turn. */
  readonly signal?: AbortSignal;
}

export interface RecentOptions extends Paging, Pick<Caller, 'agentId'> {
  /** @default what the agent works on */
  readonly project?: string;
  /** How many: the size of a page, up to 200; beside `pageSize`, or beyond that, how many come back in all. */
  readonly limit?: number;
  /** The same as `limit`. */
  readonly n?: number;
  readonly filter?: EntryFilter;
}

export interface QueryOptions extends EntryQuery, Pick<Caller, 'agentId'> {}
