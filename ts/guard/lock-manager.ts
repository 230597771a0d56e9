/** Leases on keys, for any number of agents, over a lock table in memory or in a database. */
import { checkBoolean, checkFields, checkNumber, checkSignal, refuse } from '../arguments.js';
import type { StompError } from '../errors.js';
import { type Clock, machineClock } from './clock.js';
import { busyError, lockCancelledError, locksClosedError } from './errors.js';
import { checkKeys, isName, type KeyRequest, type LockMode } from './keys.js';
import { Lease, longestTtlMs } from './lease.js';
import type {
  Blocker,
  Grant,
  HeldLock,
  LockRequest,
  LockTable,
  Outcome,
  Owner,
  WaitLimit,
} from './lock-table.js';
import { Telemetry } from './telemetry.js';

/** For whom, how long, and how patiently. */
export interface AcquireOptions {
  /** Who asks. Two sessions of an agent exclude each other, two requests of one session do not. */
  agentId: string;
  sessionId: string;
  /** How long it lives if it is not renewed; 30,000 by default. */
  ttlMs?: number;
  /** How long to wait for all keys together; 0, the default, is a try. */
  maxWaitMs?: number;
  /** `shared` holders do not exclude each other; `exclusive` by default. */
  mode?: LockMode;
  /** Renews at a third of the time to live, for as long as the process lives. */
  autoRenew?: boolean;
  /** Lives on when the manager is closed, until it is released by `resume` or expires. */
  detached?: boolean;
  /** Takes the request back out of the queue. */
  signal?: AbortSignal;
}

/** What `snapshot` tells of a key that is held; the names are those on the wire. */
export interface LockSnapshot {
  resource_key: string;
  holder_agent_id: string;
  holder_session_id: string;
  /** Decimal: it may be larger than a JSON number is exact. */
  fencing_token: string;
  held_duration_ms: number;
  ttl_remaining_ms: number;
  waiters: number;
}

/** A request that waits, as `waiting` tells it; the names are those on the wire. */
export interface LockWaiter {
  agent_id: string;
  session_id: string;
  /** All that it asks for. */
  resource_keys: string[];
}

export interface LockManagerSetup {
  table: LockTable;
  clock?: Clock;
  telemetry?: Telemetry;
}

const fields = ['agentId', 'sessionId', 'ttlMs', 'maxWaitMs', 'mode', 'autoRenew', 'detached', 'signal'];

const maxIdBytes = 256;
const leastSweep = 1024;

/** Gives leases on keys to the agents of one process, over a table that others may share. */
export class LockManager {
  readonly #table: LockTable;
  readonly #clock: Clock;
  readonly #telemetry: Telemetry;
  readonly #leases = new Set<Lease>();
  #sweepAt = leastSweep;
  #asking = 0;
  #answered: (() => void) | undefined;
  #closed = false;

  constructor({ table, clock = machineClock, telemetry = new Telemetry() }: LockManagerSetup) {
    this.#table = table;
    this.#clock = clock;
    this.#telemetry = telemetry;
    table.events = { expired: (lock) => this.#expired(lock) };
  }

  /** Whether tokens outlive the process, as whatever guards something durable needs. */
  get durable(): boolean {
    return this.#table.durable;
  }

  /** Where the locks are. */
  get backend(): LockTable['kind'] {
    return this.#table.kind;
  }

  /**
   * All of the keys or none, within one deadline.
   * @throws StompError RESOURCE_BUSY, CANCELLED, INVALID_REQUEST, SHUTTING_DOWN
   */
  async acquire(keys: string | readonly (string | KeyRequest)[], options: AcquireOptions): Promise<Lease> {
    const { owner, ttlMs, maxWaitMs, mode, autoRenew, detached, signal } = checkOptions(options);
    const wanted = checkKeys(keys, mode);
    const askedAt = this.#clock.now();
    const outcome = await this.#ask({ owner, keys: wanted, ttlMs }, { maxWaitMs, signal });
    const waitMs = this.#clock.now() - askedAt;
    if ('blocker' in outcome) throw this.#busy(outcome.blocker, owner, waitMs, maxWaitMs);
    const lease = this.#lease(outcome.grant, autoRenew, this.#clock.now());
    if (!detached) this.#keep(lease);
    this.#tell('lock_acquired', lease, { wait_ms: waitMs, ttl_ms: ttlMs });
    return lease;
  }

  /**
   * A lease that another manager or process has acquired, by its tokens: to be renewed or released here. Whether it
   * is still held, the lock table is asked only then.
   */
  resume(tokens: ReadonlyMap<string, bigint>, owner: Owner, ttlMs?: number): Lease {
    const checked = checkOptions({ ...owner, ...(ttlMs === undefined ? {} : { ttlMs }) });
    if (tokens.size === 0) refuse('tokens', 'none', 'at least one key with its token');
    checkKeys([...tokens.keys()], checked.mode);
    const grant = { owner: checked.owner, tokens, ttlMs: checked.ttlMs, grantedAt: this.#clock.now() };
    return this.#lease(grant, false, undefined);
  }

  /** Everything held, by key. */
  async snapshot(): Promise<LockSnapshot[]> {
    return (await this.#table.held()).map(snapshotOf);
  }

  /** Everybody who waits, whoever asked first before the others. */
  async waiting(): Promise<LockWaiter[]> {
    const waiting = await this.#table.waiting();
    return waiting.map(({ agentId, sessionId, keys }) => ({
      agent_id: agentId,
      session_id: sessionId,
      resource_keys: keys.map(({ key }) => key),
    }));
  }

  /**
   * A resource has seen a higher token than these locks have given, and its holder does hold it: the locks were made
   * anew, or others are used elsewhere. From now on tokens are above that one.
   */
  raise(token: bigint): Promise<void> {
    return this.#table.raise(token);
  }

  /** Refuses those who wait and releases every lease of this manager. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#table.close();
    // What is granted meanwhile is given back before the table's storage may go.
    if (this.#asking > 0) await new Promise<void>((resolve) => (this.#answered = resolve));
    await Promise.all([...this.#leases].map((lease) => lease[Symbol.asyncDispose]()));
  }

  /** As `close`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** @param since undefined where nobody here knows when it was acquired. */
  #lease(grant: Grant, autoRenew: boolean, since: number | undefined): Lease {
    return new Lease({
      table: this.#table,
      clock: this.#clock,
      grant,
      autoRenew,
      acquiredAt: Date.now(),
      onEnd: (ended, how) => this.#ended(ended, how, since),
      onRenew: (renewed) => this.#tell('lease_renewed', renewed, {}),
    });
  }

  /** @throws StompError SHUTTING_DOWN, CANCELLED: what is granted to one who no longer wants it is given back. */
  async #ask(request: LockRequest, limit: WaitLimit): Promise<Outcome> {
    this.#asking++;
    try {
      const outcome = await this.#table.acquire(request, limit);
      const unwanted = this.#unwanted(limit.signal);
      if (unwanted && 'grant' in outcome) await this.#table.release(outcome.grant);
      if (unwanted) throw unwanted;
      return outcome;
    } finally {
      this.#asking--;
      if (this.#asking === 0) this.#answered?.();
    }
  }

  #unwanted(signal: AbortSignal | undefined): StompError | undefined {
    if (this.#closed) return locksClosedError();
    return signal?.aborted ? lockCancelledError(signal.reason) : undefined;
  }

  /** Leases that nobody released drop out when they have expired. */
  #keep(lease: Lease): void {
    this.#leases.add(lease);
    if (this.#leases.size < this.#sweepAt) return;
    for (const one of this.#leases) if (!one.held) this.#leases.delete(one);
    this.#sweepAt = Math.max(leastSweep, 2 * this.#leases.size);
  }

  #ended(lease: Lease, how: 'released' | 'lost', since: number | undefined): void {
    this.#leases.delete(lease);
    if (how === 'lost') return;
    this.#tell('lock_released', lease, since === undefined ? {} : { held_ms: this.#clock.now() - since });
  }

  #busy(blocker: Blocker, owner: { agentId: string; sessionId: string }, waitMs: number, maxWaitMs: number) {
    const error = busyError(
      `${blocker.key} is held or waited for by agent ${blocker.agentId} (session ${blocker.sessionId}); ` +
        `waited ${Math.round(waitMs)} of ${maxWaitMs} ms. Try again later, or wait longer.`,
      { key: blocker.key, holder: blocker, waitMs, maxWaitMs },
    );
    this.#telemetry.emit({
      event: 'lock_timeout',
      agent_id: owner.agentId,
      session_id: owner.sessionId,
      ...error.fields,
    });
    return error;
  }

  /** Told by the table that drops it, wherever its holder is: once, over all processes. */
  #expired({
    key,
    agentId,
    sessionId,
    token,
  }: Owner & { readonly key: string; readonly token: bigint }): void {
    this.#telemetry.emit({
      event: 'lease_expired',
      resource_key: key,
      agent_id: agentId,
      session_id: sessionId,
      fencing_token: token.toString(),
    });
  }

  #tell(event: 'lock_acquired' | 'lock_released' | 'lease_renewed', lease: Lease, more: object) {
    for (const [key, token] of lease.tokens) {
      // The most frequent events by far: nothing is put together that nobody hears.
      if (!this.#telemetry.listened) this.#telemetry.count(event);
      else
        this.#telemetry.emit({
          event,
          resource_key: key,
          agent_id: lease.agentId,
          session_id: lease.sessionId,
          fencing_token: token.toString(),
          ...more,
        });
    }
  }
}

/** @throws StompError INVALID_REQUEST */
export function checkOwner({ agentId, sessionId }: Owner): Owner {
  const allowed = `the name of who asks, 1 to ${maxIdBytes} bytes`;
  if (!isName(agentId, maxIdBytes)) refuse('agentId', agentId, allowed);
  if (!isName(sessionId, maxIdBytes)) refuse('sessionId', sessionId, allowed);
  return { agentId, sessionId };
}

function checkOptions(options: AcquireOptions) {
  checkFields('options', options, fields);
  const { agentId, sessionId } = checkOwner(options);
  return {
    owner: { agentId, sessionId },
    ttlMs: checkNumber('ttlMs', options.ttlMs, 30_000, { min: 0, max: longestTtlMs, aboveMin: true }),
    maxWaitMs: checkNumber('maxWaitMs', options.maxWaitMs, 0, { min: 0, max: longestTtlMs }),
    mode: options.mode ?? 'exclusive',
    autoRenew: checkBoolean('autoRenew', options.autoRenew, false),
    detached: checkBoolean('detached', options.detached, false),
    signal: checkSignal('signal', options.signal),
  };
}

function snapshotOf(lock: HeldLock): LockSnapshot {
  return {
    resource_key: lock.key,
    holder_agent_id: lock.agentId,
    holder_session_id: lock.sessionId,
    fencing_token: lock.token.toString(),
    held_duration_ms: Math.round(lock.heldMs),
    ttl_remaining_ms: Math.round(lock.ttlRemainingMs),
    waiters: lock.waiters,
  };
}
