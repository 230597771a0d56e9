/** A grant in the hands of whoever asked for it. */
import { checkNumber } from '../arguments.js';
import { StompError } from '../errors.js';
import type { Clock } from './clock.js';
import type { Grant, LockTable } from './lock-table.js';

export const longestTtlMs = 24 * 3600 * 1000;

export interface LeaseSetup {
  readonly table: LockTable;
  readonly clock: Clock;
  readonly grant: Grant;
  readonly autoRenew: boolean;
  /** Milliseconds since 1970, for people. */
  readonly acquiredAt: number;
  onEnd(lease: Lease, how: 'released' | 'lost'): void;
  onRenew(lease: Lease): void;
}

/**
 * The right to change what its keys stand for, until it expires. Hand its tokens to whatever is changed: that
 * refuses a token lower than one that it has seen.
 */
export class Lease {
  readonly keys: readonly string[];
  /** By key. They rise with every lease of a key, over all agents and processes. */
  readonly tokens: ReadonlyMap<string, bigint>;
  readonly agentId: string;
  readonly sessionId: string;
  /** Milliseconds since 1970. */
  readonly acquiredAt: number;
  readonly #setup: LeaseSetup;
  #ttlMs: number;
  #until: number; // of this process's clock
  #state: 'held' | 'released' | 'lost' = 'held';
  #abort: AbortController | undefined;
  #callOffRenewal: (() => void) | undefined;
  #callOffExpiry: (() => void) | undefined;
  #renewing: Promise<unknown> | undefined;

  /** @internal */
  constructor(setup: LeaseSetup) {
    const { grant } = setup;
    this.#setup = setup;
    this.keys = [...grant.tokens.keys()];
    this.tokens = grant.tokens;
    this.agentId = grant.owner.agentId;
    this.sessionId = grant.owner.sessionId;
    this.acquiredAt = setup.acquiredAt;
    this.#ttlMs = grant.ttlMs;
    this.#until = grant.grantedAt + grant.ttlMs;
    this.#renewLater();
  }

  /** Milliseconds since 1970. */
  get expiresAt(): number {
    return this.acquiredAt + (this.#until - this.#setup.grant.grantedAt);
  }

  /** Whether it is neither released nor lost. It ends here no later than in the lock table. */
  get held(): boolean {
    return this.#state === 'held' && this.#setup.clock.now() < this.#until;
  }

  /** Aborts when the lease is lost, with LEASE_LOST as the reason; not when it is released. */
  get signal(): AbortSignal {
    if (!this.#abort) {
      this.#abort = new AbortController();
      if (this.#state === 'lost') this.#abort.abort(this.#lost());
      else this.#watch();
    }
    return this.#abort.signal;
  }

  /**
   * Lets it live `ttlMs` from now, by default as long as was asked the last time.
   * @throws StompError LEASE_LOST; whoever holds the keys now does not notice.
   */
  async renew(ttlMs: number = this.#ttlMs): Promise<void> {
    checkNumber('ttlMs', ttlMs, 0, { min: 0, max: longestTtlMs, aboveMin: true });
    if (this.#state !== 'held') throw this.#lost();
    const askedAt = this.#setup.clock.now();
    if (!(await this.#setup.table.renew(this.#setup.grant, ttlMs))) throw this.#lose();
    if (this.#state !== 'held') throw this.#lost();
    this.#ttlMs = ttlMs;
    this.#until = askedAt + ttlMs;
    this.#setup.onRenew(this);
    this.#watch();
    this.#renewLater();
  }

  /**
   * Gives the keys back. Once that has succeeded, a second call does nothing.
   * @throws StompError LEASE_LOST
   */
  async release(): Promise<void> {
    if (this.#state === 'released') return;
    const before = this.#state;
    this.#state = 'released';
    this.#rest();
    await this.#renewing;
    const whole = await this.#setup.table.release(this.#setup.grant).catch((error: unknown) => {
      this.#state = before;
      throw error;
    });
    if (before === 'lost') throw this.#lost();
    if (!whole) {
      this.#abort?.abort(this.#lost());
      this.#setup.onEnd(this, 'lost');
      throw this.#lost();
    }
    this.#setup.onEnd(this, 'released');
  }

  /** Releases it; that it was lost before is no error here. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.release().catch((error: unknown) => {
      if (!(error instanceof StompError && error.code === 'LEASE_LOST')) throw error;
    });
  }

  /** Also of one that renews itself: the table may not answer before its time is up. */
  #watch(): void {
    if (!this.#abort || this.#state !== 'held') return;
    this.#callOffExpiry?.();
    const left = this.#until - this.#setup.clock.now();
    this.#callOffExpiry = this.#setup.clock.after(left, () => this.#expire());
  }

  #expire(): void {
    if (this.#state !== 'held') return;
    if (this.#setup.clock.now() < this.#until) this.#watch();
    else this.#lose();
  }

  #renewLater(): void {
    if (!this.#setup.autoRenew || this.#state !== 'held') return;
    this.#callOffRenewal?.();
    this.#callOffRenewal = this.#setup.clock.after(this.#ttlMs / 3, () => {
      if (this.#state !== 'held') return;
      this.#renewing = this.renew().catch((error: unknown) => this.#renewalFailed(error));
    });
  }

  // The table may be out of reach for a while; the lease is lost when its time is up.
  #renewalFailed(error: unknown): void {
    const lost = error instanceof StompError && error.code === 'LEASE_LOST';
    if (lost) return;
    if (this.#setup.clock.now() >= this.#until) this.#lose();
    else this.#renewLater();
  }

  #rest(): void {
    this.#callOffRenewal?.();
    this.#callOffExpiry?.();
  }

  #lose(): StompError {
    const error = this.#lost();
    if (this.#state === 'held') {
      this.#state = 'lost';
      this.#rest();
      this.#abort?.abort(error);
      this.#setup.onEnd(this, 'lost');
    }
    return error;
  }

  #lost(): StompError {
    const what = this.keys.length === 1 ? this.keys[0] : `${this.keys.length} keys`;
    return new StompError(
      'LEASE_LOST',
      this.#state === 'released'
        ? `The lease on ${what} was released.`
        : `The lease on ${what} expired; somebody else may hold it by now. Acquire it anew and look at what changed.`,
      { fields: { resource_keys: this.keys, agent_id: this.agentId, session_id: this.sessionId } },
    );
  }
}
