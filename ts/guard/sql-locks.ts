/** What the lock table does in a database, each method within the transaction of whoever calls it. */
import { StompError } from '../errors.js';
import { type Row, rows, type SqlValue, type Storage, type Work } from '../storage/storage.js';
import type { Clock } from './clock.js';
import { conflict, type KeyRequest, type LockMode } from './keys.js';
import type { Blocker, Grant, HeldLock, LockRequest, Outcome, Owner } from './lock-table.js';
import { around } from './sql-keys.js';

/** Changes of locks are told on it. */
export const lockChannel = 'locks';
// A waiter whose process is gone stands in the way no longer than this.
const waiterAliveMs = 3000;

export type Expired = Owner & { readonly key: string; readonly token: bigint };

export interface Attempt {
  readonly outcome: Outcome;
  /** Of the waiter, where there is one now. */
  readonly ticket: bigint | undefined;
  /** Milliseconds until the first of those in the way expires. */
  readonly retryMs: number | undefined;
  readonly expired: readonly Expired[];
  /** Files to remove before the grant is handed out: their holders may wake up and put them in place. */
  readonly abandoned: readonly string[];
}

/** One moment on the database's clock and, no later, on that of this process. */
interface Moment {
  readonly now: number;
  readonly grantedAt: number;
}

export class SqlLocks {
  readonly #storage: Storage;
  readonly #clock: Clock;

  constructor(storage: Storage, clock: Clock) {
    this.#storage = storage;
    this.#clock = clock;
  }

  /** Keeps all other changes of locks out until the transaction ends. */
  *lockCounters(): Work<Row> {
    const forUpdate = this.#storage.dialect === 'postgres' ? ' FOR UPDATE' : '';
    const found = yield* rows(
      `SELECT token, ticket, seen_at FROM stomp_lock_counters WHERE id = 1${forUpdate}`,
    );
    const counters = found[0];
    if (!counters) throw new StompError('INTERNAL_ERROR', 'The lock table has lost its counters.');
    return counters;
  }

  // The machine's clock begins anew when it starts: what is dated later is from before.
  /** @returns the files that were staged then */
  *forgetEarlierBoot(): Work<readonly string[]> {
    if (this.#storage.dialect !== 'sqlite') return [];
    const counters = yield* this.lockCounters();
    const now = yield* this.#storage.now();
    if (now >= Number(counters.seen_at)) return [];
    yield* rows('DELETE FROM stomp_locks');
    yield* rows('DELETE FROM stomp_lock_waiters');
    // Nobody from then lives to bring a lower token.
    yield* rows('DELETE FROM stomp_lock_fences');
    yield* rows('UPDATE stomp_lock_counters SET seen_at = ? WHERE id = 1', now);
    return (yield* rows('DELETE FROM stomp_staged RETURNING path')).map(({ path }) => String(path));
  }

  /** @param ticket of a waiter; without one, and with `enqueue`, a new one where it cannot be granted. */
  *attempt(request: LockRequest, ticket: bigint | undefined, enqueue: boolean): Work<Attempt> {
    const counters = yield* this.lockCounters();
    const grantedAt = this.#clock.now();
    const now = yield* this.#storage.now();
    const expired = yield* rows(
      'DELETE FROM stomp_locks WHERE expires_at <= ? RETURNING key, agent_id, session_id, token',
      now,
    );
    yield* rows('DELETE FROM stomp_lock_waiters WHERE alive_until <= ?', now);
    const { where, params } = around(request.keys.map(({ key }) => key));
    const locks = yield* rows(
      `SELECT key, agent_id, session_id, token, mode, expires_at FROM stomp_locks WHERE ${where}`,
      ...params,
    );
    const ahead = yield* rows(
      `SELECT w.agent_id, w.session_id, k.key, k.mode FROM stomp_lock_waiter_keys k
         JOIN stomp_lock_waiters w ON w.ticket = k.ticket
        WHERE ${where} AND k.ticket < ? ORDER BY k.ticket`,
      ...params,
      ticket ?? BigInt(counters.ticket ?? 0) + 1n,
    );
    const blocker = blockerOf(request, locks.map(lockOf), ahead.map(waiterOf));
    const seen = expired.map(expiredOf);
    if (!blocker) {
      const grant = yield* this.#grant(request, counters, locks, { now, grantedAt });
      if (ticket !== undefined) yield* rows('DELETE FROM stomp_lock_waiters WHERE ticket = ?', ticket);
      const abandoned = yield* this.#abandoned(where, params);
      return { outcome: { grant }, ticket: undefined, retryMs: undefined, expired: seen, abandoned };
    }
    const retryMs = nextExpiry(locks, now);
    const place = ticket ?? (enqueue ? yield* this.#enqueue(request, counters, now) : undefined);
    return { outcome: { blocker }, ticket: place, retryMs, expired: seen, abandoned: [] };
  }

  /** Files that somebody has staged for these keys and holds them no more. */
  *#abandoned(where: string, params: readonly SqlValue[]): Work<readonly string[]> {
    const found = yield* rows(
      `SELECT s.path FROM stomp_staged s
        WHERE ${where} AND NOT EXISTS (SELECT 1 FROM stomp_locks l WHERE l.key = s.key AND l.token = s.token)`,
      ...params,
    );
    return found.map(({ path }) => String(path));
  }

  *#grant(
    request: LockRequest,
    counters: Row,
    locks: readonly Row[],
    { now, grantedAt }: Moment,
  ): Work<Grant> {
    const { owner, ttlMs } = request;
    const tokens = new Map<string, bigint>();
    let last = BigInt(counters.token ?? 0);
    for (const { key, mode } of request.keys) {
      const own = locks.find((row) => row.key === key && isOwner(row, owner));
      if (own) {
        yield* rows(
          `UPDATE stomp_locks SET holds = holds + 1, mode = ?, expires_at = ?
            WHERE key = ? AND agent_id = ? AND session_id = ?`,
          mode === 'exclusive' ? mode : (own.mode ?? mode),
          Math.max(Number(own.expires_at), now + ttlMs),
          key,
          owner.agentId,
          owner.sessionId,
        );
        tokens.set(key, BigInt(own.token ?? 0));
        continue;
      }
      last++;
      yield* rows(
        `INSERT INTO stomp_locks (key, agent_id, session_id, token, mode, holds, acquired_at, expires_at)
         VALUES (?, ?, ?, ?, ?, 1, ?, ?)`,
        key,
        owner.agentId,
        owner.sessionId,
        last,
        mode,
        now,
        now + ttlMs,
      );
      tokens.set(key, last);
    }
    yield* rows('UPDATE stomp_lock_counters SET token = ?, seen_at = ? WHERE id = 1', last, now);
    return { owner, tokens, ttlMs, grantedAt };
  }

  *#enqueue(request: LockRequest, counters: Row, now: number): Work<bigint> {
    const ticket = BigInt(counters.ticket ?? 0) + 1n;
    yield* rows('UPDATE stomp_lock_counters SET ticket = ? WHERE id = 1', ticket);
    yield* rows(
      'INSERT INTO stomp_lock_waiters (ticket, agent_id, session_id, alive_until) VALUES (?, ?, ?, ?)',
      ticket,
      request.owner.agentId,
      request.owner.sessionId,
      now + waiterAliveMs,
    );
    for (const { key, mode } of request.keys) {
      yield* rows(
        'INSERT INTO stomp_lock_waiter_keys (ticket, key, mode) VALUES (?, ?, ?)',
        ticket,
        key,
        mode,
      );
    }
    return ticket;
  }

  *renew(grant: Grant, ttlMs: number): Work<boolean> {
    yield* this.lockCounters();
    const now = yield* this.#storage.now();
    if (!(yield* this.#valid(grant.tokens, now))) return false;
    for (const [key, token] of grant.tokens) {
      yield* rows(
        `UPDATE stomp_locks SET expires_at = CASE WHEN holds > 1 AND expires_at > ? THEN expires_at ELSE ? END
          WHERE key = ? AND token = ?`,
        now + ttlMs,
        now + ttlMs,
        key,
        token,
      );
    }
    return true;
  }

  *release(grant: Grant): Work<boolean> {
    yield* this.lockCounters();
    const now = yield* this.#storage.now();
    const whole = yield* this.#valid(grant.tokens, now);
    for (const [key, token] of grant.tokens) {
      yield* rows('DELETE FROM stomp_locks WHERE key = ? AND token = ? AND holds <= 1', key, token);
      yield* rows('UPDATE stomp_locks SET holds = holds - 1 WHERE key = ? AND token = ?', key, token);
      yield* rows(
        'DELETE FROM stomp_staged WHERE token = ? AND NOT EXISTS (SELECT 1 FROM stomp_locks l WHERE l.token = ?)',
        token,
        token,
      );
    }
    yield* this.#storage.notify(lockChannel);
    return whole;
  }

  *#valid(tokens: ReadonlyMap<string, bigint>, now: number): Work<boolean> {
    for (const [key, token] of tokens) {
      const found = yield* rows(
        'SELECT 1 AS n FROM stomp_locks WHERE key = ? AND token = ? AND expires_at > ?',
        key,
        token,
        now,
      );
      if (found.length === 0) return false;
    }
    return true;
  }

  *holds(grant: Grant): Work<boolean> {
    return yield* this.#valid(grant.tokens, yield* this.#storage.now());
  }

  *held(): Work<HeldLock[]> {
    const now = yield* this.#storage.now();
    const found = yield* rows(
      `SELECT l.key, l.agent_id, l.session_id, l.token, l.mode, l.acquired_at, l.expires_at,
              (SELECT count(*) FROM stomp_lock_waiter_keys k JOIN stomp_lock_waiters w ON w.ticket = k.ticket
                WHERE k.key = l.key AND w.alive_until > ?) AS n
         FROM stomp_locks l WHERE l.expires_at > ? ORDER BY l.key, l.token`,
      now,
      now,
    );
    return found.map((row) => ({
      ...expiredOf(row),
      mode: row.mode as LockMode,
      heldMs: now - Number(row.acquired_at),
      ttlRemainingMs: Number(row.expires_at) - now,
      waiters: Number(row.n),
    }));
  }

  *leave(tickets: readonly bigint[]): Work<void> {
    for (const ticket of tickets) yield* rows('DELETE FROM stomp_lock_waiters WHERE ticket = ?', ticket);
    yield* this.#storage.notify(lockChannel);
  }

  *beat(tickets: readonly bigint[]): Work<void> {
    const now = yield* this.#storage.now();
    for (const ticket of tickets) {
      yield* rows(
        'UPDATE stomp_lock_waiters SET alive_until = ? WHERE ticket = ?',
        now + waiterAliveMs,
        ticket,
      );
    }
  }

  /** The files are gone. */
  *cleared(paths: readonly string[]): Work<void> {
    for (const path of paths) yield* rows('DELETE FROM stomp_staged WHERE path = ?', path);
  }

  /** Whether all of it is held; it stays so until the transaction ends. */
  *live(tokens: ReadonlyMap<string, bigint>): Work<boolean> {
    yield* this.lockCounters();
    return yield* this.#valid(tokens, yield* this.#storage.now());
  }
}

type AroundLock = Owner & KeyRequest;

function blockerOf(
  { owner, keys }: LockRequest,
  locks: readonly AroundLock[],
  ahead: readonly AroundLock[],
): Blocker | undefined {
  const own = (lock: AroundLock) => lock.agentId === owner.agentId && lock.sessionId === owner.sessionId;
  for (const wanted of keys) {
    const holder = locks.find((lock) => !own(lock) && conflict(lock, wanted));
    if (holder) return holder;
    // To queue behind those who wait for what one holds would never end.
    const holdsAlready = locks.some(
      (lock) => own(lock) && conflict(lock, { key: wanted.key, mode: 'exclusive' }),
    );
    const earlier = holdsAlready ? undefined : ahead.find((waiter) => conflict(waiter, wanted));
    if (earlier) return earlier;
  }
  return undefined;
}

function nextExpiry(locks: readonly Row[], now: number): number | undefined {
  if (locks.length === 0) return undefined;
  return Math.max(0, Math.min(...locks.map((row) => Number(row.expires_at))) - now);
}

const isOwner = (row: Row, owner: Owner) =>
  row.agent_id === owner.agentId && row.session_id === owner.sessionId;

function ownerOf(row: Row): Owner & { readonly key: string } {
  return { key: String(row.key), agentId: String(row.agent_id), sessionId: String(row.session_id) };
}

const lockOf = (row: Row): AroundLock => ({ ...ownerOf(row), mode: row.mode as LockMode });
const waiterOf = lockOf;
const expiredOf = (row: Row): Expired => ({ ...ownerOf(row), token: BigInt(row.token ?? 0) });
