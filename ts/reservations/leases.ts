/** Leases of the guard that are taken with a reservation: what is announced is then enforced, too. */
import { join } from 'node:path';
import { StompError } from '../errors.js';
import type { Lease } from '../guard/lease.js';
import type { LockManager } from '../guard/lock-manager.js';
import type { PolicyRegistry } from '../guard/policy.js';
import { canonicalPath, deniedPath, isWithin } from '../paths.js';
import { splitAddress } from './symbols/address.js';
import type { Reservation, Warning } from './types.js';

/** What is needed of a `Maasl`. */
export interface ReservationGuard {
  readonly policy: Pick<PolicyRegistry, 'get' | 'keyOf'>;
  readonly locks: Pick<LockManager, 'acquire' | 'resume'>;
}

/** For whom and how long. */
export interface LeaseRequest {
  readonly addresses: readonly string[];
  readonly runId: string;
  /** Of the agent at the guard: the one in which it will write. */
  readonly session: string;
  readonly ttlSeconds: number;
  readonly signal: AbortSignal | undefined;
}

const resourceClass = 'CRIT_CODE';
// The guard lends nothing for longer.
const longestTtlMs = 24 * 3600 * 1000;

export class ReservationLeases {
  readonly #guard: ReservationGuard | undefined;
  readonly #root: string | undefined;

  constructor(guard: ReservationGuard | undefined, root: string | undefined) {
    this.#guard = guard;
    this.#root = root;
  }

  /**
   * Those of the files of the addresses, all or none, without waiting. The lease outlives this process.
   * @throws StompError RESOURCE_BUSY, PATH_DENIED, CONFIG_INVALID, INVALID_REQUEST
   */
  async take(request: LeaseRequest): Promise<Lease> {
    const { guard, root } = this.#needed();
    const paths = [...new Set(request.addresses.map((address) => splitAddress(address).path))];
    const found = guard.policy.get(resourceClass);
    const keys = await Promise.all(paths.map((path) => fileWithin(root, path)));
    return guard.locks.acquire(
      keys.map((file) => guard.policy.keyOf(found, file)),
      {
        agentId: request.runId,
        sessionId: request.session,
        ttlMs: ttlMsOf(request.ttlSeconds),
        detached: true,
        ...(request.signal ? { signal: request.signal } : {}),
      },
    );
  }

  /** @returns what kept them from being given back: they expire then */
  giveBack(reservation: Reservation): Promise<Warning[]> {
    return this.#each(reservation, (lease) => lease.release());
  }

  /** @returns what kept them from being renewed */
  renew(reservation: Reservation, ttlSeconds: number): Promise<Warning[]> {
    return this.#each(reservation, (lease) => lease.renew(ttlMsOf(ttlSeconds)));
  }

  async #each(reservation: Reservation, call: (lease: Lease) => Promise<void>): Promise<Warning[]> {
    const { leases = {}, leaseSession, reservationId: subject, runId: agentId } = reservation;
    const tokens = new Map(Object.entries(leases).map(([key, token]) => [key, BigInt(token)]));
    if (tokens.size === 0) return [];
    if (!this.#guard)
      return [{ subject, reason: 'its leases are not known here, and run until they expire' }];
    if (!leaseSession)
      return [{ subject, reason: 'it names no session of its leases, which run until they expire' }];
    try {
      await call(this.#guard.locks.resume(tokens, { agentId, sessionId: leaseSession }));
      return [];
    } catch (error) {
      if (!(error instanceof StompError)) throw error;
      return [{ subject, reason: `its leases: ${error.message}` }];
    }
  }

  #needed(): { guard: ReservationGuard; root: string } {
    if (this.#guard && this.#root !== undefined) return { guard: this.#guard, root: this.#root };
    throw new StompError(
      'CONFIG_INVALID',
      'Leases on files take a guard and the root of the repository: name both, or reserve without leases.',
      { fields: { setting: this.#guard ? 'root' : 'guard' } },
    );
  }
}

/** Tokens as records hold them: JSON numbers. */
export function tokensOf(lease: Lease): Record<string, number> {
  return Object.fromEntries([...lease.tokens].map(([key, token]) => [key, Number(token)]));
}

async function fileWithin(root: string, path: string): Promise<string> {
  const [file, folder] = await Promise.all([canonicalPath(join(root, path)), canonicalPath(root)]);
  if (isWithin(file, folder)) return file;
  throw deniedPath(path, 'it leads out of the repository');
}

function ttlMsOf(ttlSeconds: number): number {
  return Math.min(ttlSeconds * 1000, longestTtlMs);
}
