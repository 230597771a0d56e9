/** The leases that one client has taken and not given back yet. They end with its connection, where that says so. */
import { StompError } from '../../errors.js';
import type { Kept } from '../../tools/connection.js';
import type { Lease } from '../lease.js';
import type { LockManager } from '../lock-manager.js';
import type { Owner } from '../lock-table.js';

interface Taken extends Owner {
  readonly key: string;
  readonly token: bigint;
  /** As often as it was acquired. */
  count: number;
  /** Of `performance.now()`. */
  until: number;
}

const nameOf = (key: string, token: bigint) => `${token} ${key}`;

/** Kept with the client's connection; the lock tools tell it what they do. */
export class SessionLeases implements Kept {
  readonly #locks: LockManager;
  readonly #taken = new Map<string, Taken>();

  constructor(locks: LockManager) {
    this.#locks = locks;
  }

  /** A lease was taken. */
  acquired(lease: Lease, ttlMs: number): void {
    this.#dropExpired();
    const until = performance.now() + ttlMs;
    for (const [key, token] of lease.tokens) {
      const name = nameOf(key, token);
      const { agentId, sessionId } = lease;
      const taken = this.#taken.get(name) ?? { key, token, agentId, sessionId, count: 0, until };
      taken.count++;
      taken.until = Math.max(taken.until, until);
      this.#taken.set(name, taken);
    }
  }

  /** It lives on. */
  renewed(lease: Lease, ttlMs: number): void {
    for (const [key, token] of lease.tokens) {
      const taken = this.#taken.get(nameOf(key, token));
      if (taken) taken.until = performance.now() + ttlMs;
    }
  }

  /** It was given back. */
  released(lease: Lease): void {
    for (const [key, token] of lease.tokens) {
      const name = nameOf(key, token);
      const taken = this.#taken.get(name);
      if (taken && --taken.count === 0) this.#taken.delete(name);
    }
  }

  /** Gives back all that is left. @throws StompError DB_BUSY: what was not given back then expires. */
  async giveBack(): Promise<void> {
    this.#dropExpired();
    const left = [...this.#taken.values()];
    this.#taken.clear();
    for (const { key, token, agentId, sessionId, count } of left) {
      for (let i = 0; i < count; i++) {
        const lease = this.#locks.resume(new Map([[key, token]]), { agentId, sessionId });
        await lease.release().catch((error: unknown) => {
          if (!(error instanceof StompError && error.code === 'LEASE_LOST')) throw error;
        });
      }
    }
  }

  #dropExpired(): void {
    const now = performance.now();
    for (const [name, { until }] of this.#taken) if (until <= now) this.#taken.delete(name);
  }
}
