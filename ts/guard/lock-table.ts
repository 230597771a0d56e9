/**
 * What a lock manager stands on: a table of who holds and who waits for which key, in memory or in a database.
 * Every implementation promises the same, and one test-suite says so.
 *
 * - A set of keys is granted as a whole or not at all. Tokens come from one counter of the table, rise with every
 *   grant, over all keys, and are never given twice.
 * - Whoever asked first goes first: nobody is granted a key that somebody before it waits for, so that a waiter for
 *   many keys is not starved by waiters for one.
 * - An owner, which is an agent in a session, does not exclude itself: what it holds it is granted again, with the
 *   token that it has, and holds until it has released it as often.
 * - Renewed and released is by key and token, in any session, but only by the agent that holds it.
 * - What has expired is nobody's, whether or not its holder still lives.
 */
import type { Work } from '../storage/storage.js';
import type { KeyRequest, LockMode } from './keys.js';

/** Who holds or asks: two sessions of an agent exclude each other. */
export interface Owner {
  readonly agentId: string;
  readonly sessionId: string;
}

export interface LockRequest {
  readonly owner: Owner;
  /** Sorted, each key once. */
  readonly keys: readonly KeyRequest[];
  readonly ttlMs: number;
}

export interface WaitLimit {
  /** 0: only if it can be had at once. */
  readonly maxWaitMs: number;
  readonly signal: AbortSignal | undefined;
}

export interface Grant {
  readonly owner: Owner;
  readonly tokens: ReadonlyMap<string, bigint>;
  readonly ttlMs: number;
  /** Of the table's clock in this process, no later than the moment from which the table counts. */
  readonly grantedAt: number;
}

/** Who is in the way. */
export interface Blocker extends Owner {
  readonly key: string;
}

/** What came of a request: a grant, or who was in the way when time was up. */
export type Outcome = { readonly grant: Grant } | { readonly blocker: Blocker };

export interface HeldLock extends Owner {
  readonly key: string;
  readonly mode: LockMode;
  readonly token: bigint;
  readonly heldMs: number;
  readonly ttlRemainingMs: number;
  /** Requests that wait for this very key. */
  readonly waiters: number;
}

/** A request that waits. */
export interface WaitingRequest extends Owner {
  /** All that it asks for, sorted. */
  readonly keys: readonly KeyRequest[];
}

/** What a table tells of by itself. */
export interface TableEvents {
  expired(lock: Owner & { readonly key: string; readonly token: bigint }): void;
}

/** Where leases and those who wait for them are kept. */
export interface LockTable {
  /** Names the kind in messages and events. */
  readonly kind: 'memory' | 'sqlite' | 'postgres';
  /** Whether tokens outlive the process: what guards something durable must. */
  readonly durable: boolean;
  /** Who is told of what the table sees; one at most. */
  events: TableEvents | undefined;
  /** @throws StompError CANCELLED when the signal aborts; the queue is then as if it had never asked. */
  acquire(request: LockRequest, limit: WaitLimit): Promise<Outcome>;
  /** Sets the time to live of every key anew; false when one of them is lost, and then it changes nothing. */
  renew(grant: Grant, ttlMs: number): Promise<boolean>;
  /** False when a key was lost before; the others are released all the same. */
  release(grant: Grant): Promise<boolean>;
  /** Whether every key is still held under these tokens. */
  holds(grant: Grant): Promise<boolean>;
  /** The same within a transaction of the table's storage, where it has one: it stays so until that ends. */
  live(tokens: ReadonlyMap<string, bigint>): Work<boolean>;
  /** Everything that is held, by key. */
  held(): Promise<HeldLock[]>;
  /** In the order in which they asked. */
  waiting(): Promise<WaitingRequest[]>;
  /** From now on tokens are above this one. */
  raise(token: bigint): Promise<void>;
  /** Waiters are refused, what is held stays held until it expires. */
  close(): Promise<void>;
}
