/** Leases on keys, for any number of agents, over a lock table in memory or in a database. */
import { checkBoolean, checkFields, checkNumber, checkSignal, checkText, refuse } from '../arguments.js';
import { StompError } from '../errors.js';
import { type Clock, machineClock } from './clock.js';
import { checkKeys, type KeyRequest, type LockMode } from './keys.js';
import { Lease } from './lease.js';
import type { Blocker, HeldLock, LockTable, Outcome } from './lock-table.js';
import { Telemetry } from './telemetry.js';

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

export interface LockManagerSetup {
  table: LockTable;
  clock?: Clock;
  telemetry?: Telemetry;
}

const fields = ['agentId', 'sessionId', 'ttlMs', 'maxWaitMs', 'mode', 'autoRenew', 'signal'];
const longestMs = 24 * 3600 * 1000;
const maxIdLength = 256;

export class LockManager {
  readonly #table: LockTable;
  readonly #clock: Clock;
  readonly #telemetry: Telemetry;
  readonly #leases = new Set<Lease>();
  #closed = false;

  constructor({ table, clock = machineClock, telemetry = new Telemetry() }: LockManagerSetup) {
    this.#table = table;
    this.#clock = clock;
    this.#telemetry = telemetry;
  }

  /** Whether tokens outlive the process, as whatever guards something durable needs. */
  get durable(): boolean {
    return this.#table.durable;
  }

  /**
   * All of the keys or none, within one deadline.
   * @throws StompError RESOURCE_BUSY, CANCELLED, INVALID_REQUEST, SHUTTING_DOWN
   */
  async acquire(keys: string | readonly (string | KeyRequest)[], options: AcquireOptions): Promise<Lease> {
    const { owner, ttlMs, maxWaitMs, mode, autoRenew, signal } = checkOptions(options);
    const wanted = checkKeys(keys, mode);
    const askedAt = this.#clock.now();
    const outcome = await this.#table.acquire({ owner, keys: wanted, ttlMs }, { maxWaitMs, signal });
    const waitMs = this.#clock.now() - askedAt;
    if (this.#closed) return this.#tooLate(outcome);
    if ('blocker' in outcome) throw this.#busy(outcome.blocker, owner, waitMs, maxWaitMs);
    const lease = new Lease({
      table: this.#table,
      clock: this.#clock,
      grant: outcome.grant,
      autoRenew,
      // A little late where the answer took its time: whoever relies on it checks the token at the resource.
      askedAt: this.#clock.now(),
      acquiredAt: Date.now(),
      onEnd: (ended, how) => this.#ended(ended, how, askedAt),
      onRenew: (renewed) => this.#tell('lease_renewed', renewed, {}),
    });
    this.#leases.add(lease);
    this.#tell('lock_acquired', lease, { wait_ms: waitMs, ttl_ms: ttlMs });
    return lease;
  }

  /** Everything held, by key. */
  async snapshot(): Promise<LockSnapshot[]> {
    return (await this.#table.held()).map(snapshotOf);
  }

  /** Refuses those who wait and releases every lease of this manager. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#table.close();
    await Promise.all([...this.#leases].map((lease) => lease[Symbol.asyncDispose]()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Closed while the table was asked. */
  async #tooLate(outcome: Outcome): Promise<never> {
    if ('grant' in outcome) await this.#table.release(outcome.grant);
    throw new StompError('SHUTTING_DOWN', 'The lock manager is closed.');
  }

  #ended(lease: Lease, how: 'released' | 'lost', since: number): void {
    this.#leases.delete(lease);
    const event = how === 'released' ? 'lock_released' : 'lease_expired';
    this.#tell(event, lease, { held_ms: this.#clock.now() - since });
  }

  #busy(blocker: Blocker, owner: { agentId: string; sessionId: string }, waitMs: number, maxWaitMs: number) {
    const details = {
      resource_key: blocker.key,
      holder_agent_id: blocker.agentId,
      holder_session_id: blocker.sessionId,
      wait_ms: Math.round(waitMs),
      max_wait_ms: maxWaitMs,
    };
    this.#telemetry.emit({
      event: 'lock_timeout',
      agent_id: owner.agentId,
      session_id: owner.sessionId,
      ...details,
    });
    return new StompError(
      'RESOURCE_BUSY',
      `${blocker.key} is held or waited for by agent ${blocker.agentId} (session ${blocker.sessionId}); ` +
        `waited ${Math.round(waitMs)} of ${maxWaitMs} ms. Try again later, or wait longer.`,
      { fields: details },
    );
  }

  #tell(
    event: 'lock_acquired' | 'lock_released' | 'lease_renewed' | 'lease_expired',
    lease: Lease,
    more: object,
  ) {
    for (const [key, token] of lease.tokens) {
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

function checkOptions(options: AcquireOptions) {
  checkFields('options', options, fields);
  const { agentId, sessionId } = options;
  for (const [name, value] of Object.entries({ agentId, sessionId })) {
    if (value === undefined || value === '') refuse(name, value, 'the name of who asks');
    checkText(name, value, '', maxIdLength);
  }
  return {
    owner: { agentId, sessionId },
    ttlMs: checkNumber('ttlMs', options.ttlMs, 30_000, { min: 0, max: longestMs, aboveMin: true }),
    maxWaitMs: checkNumber('maxWaitMs', options.maxWaitMs, 0, { min: 0, max: longestMs }),
    mode: options.mode ?? 'exclusive',
    autoRenew: checkBoolean('autoRenew', options.autoRenew, false),
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
