/** What the lock table does in a database, each method within the transaction of whoever calls it. */
import { randomUUID } from 'node:crypto';
import { StompError } from '../errors.js';
import { type Row, rows, type Storage, type Work } from '../storage/storage.js';
import type { Clock } from './clock.js';
import { conflict, type KeyRequest, type LockMode } from './keys.js';
import type { Blocker, Grant, HeldLock, LockRequest, Outcome, Owner, WaitingRequest } from './lock-table.js';
import { around } from './sql-keys.js';

/** Changes of locks are told on it. */
export const lockChannel = 'locks';
// Waiters whose process is gone stand in the way no longer than this.
const aliveMs = 1000;

export type Expired = Owner & { readonly key: string; readonly token: bigint };

export interface Attempt {
  readonly outcome: Outcome;
  /** Of the waiter, where there is one now. */
  readonly ticket: bigint | undefined;
  /** Milliseconds until the first of those in the way is gone if it does not renew. */
  readonly retryMs: number | undefined;
  readonly expired: readonly Expired[];
  /** Files to remove before the grant is handed out: their holders may wake up and put them in place. */
  readonly abandoned: readonly string[];
}

interface InTheWay {
  readonly blocker: Blocker | undefined;
  /** Held near the keys, by whomever. */
  readonly locks: readonly Row[];
  /** Milliseconds until the first of those in the way is gone if it does not renew. */
  readonly retryMs: number | undefined;
}

export interface Look extends InTheWay {
  /** Whether the ticket still has its place. */
  readonly queued: boolean;
}

/** One moment on the database's clock and, no later, on that of this process. */
interface Moment {
  readonly now: number;
  readonly grantedAt: number;
}

/**
 * Of a transaction whose end was not heard, so that it may have been made. It is run again, under the same name.
 * Whoever looks finds what the first run has left.
 */
export interface Run {
  readonly id: string;
  readonly again: boolean;
}

export class SqlLocks {
  readonly #storage: Storage;
  readonly #clock: Clock;
  readonly #process = randomUUID();

  constructor(storage: Storage, clock: Clock) {
    this.#storage = storage;
    this.#clock = clock;
  }

  /** Keeps all other changes of locks out until the transaction ends. */
  *lockCounters(): Work<Row> {
    const forUpdate = this.#storage.dialect === 'postgres' ? ' FOR UPDATE' : '';
    const { sql, params } = this.#storage.clock();
    const found = yield* rows(
      `SELECT token, ticket, seen_at, ${sql} AS now FROM stomp_lock_counters WHERE id = 1${forUpdate}`,
      ...params,
    );
    const counters = found[0];
    if (!counters) throw new StompError('INTERNAL_ERROR', 'The lock table has lost its counters.');
    return counters;
  }

  /**
   * The machine's clock begins anew when it starts: what is dated later is from before.
   * @returns the files that were staged then
   */
  *forgetEarlierBoot(): Work<readonly string[]> {
    if (this.#storage.dialect !== 'sqlite') return [];
    const counters = yield* this.lockCounters();
    const now = Number(counters.now);
    if (now >= Number(counters.seen_at)) return [];
    yield* rows('DELETE FROM stomp_locks');
    yield* rows('DELETE FROM stomp_lock_processes');
    // Nobody from then lives to bring a lower token.
    yield* rows('DELETE FROM stomp_lock_fences');
    yield* rows('UPDATE stomp_lock_counters SET seen_at = ? WHERE id = 1', now);
    return (yield* rows('DELETE FROM stomp_staged RETURNING path')).map(({ path }) => String(path));
  }

  /** Locks in memory over this storage count their tokens by themselves; what was accepted of them is not given again. */
  *passFences(): Work<void> {
    yield* this.lockCounters();
    yield* rows(
      `UPDATE stomp_lock_counters SET token = (SELECT max(token) FROM stomp_lock_fences)
        WHERE token < (SELECT max(token) FROM stomp_lock_fences)`,
    );
  }

  /** Who is in the way of a waiter, for one who changes nothing; with the time until that may expire. */
  *look(request: LockRequest, ticket: bigint): Work<Look> {
    const { sql, params } = this.#storage.clock();
    const [found] = yield* rows(
      `SELECT ${sql} AS now, (SELECT count(*) FROM stomp_lock_waiters WHERE ticket = ?) AS n`,
      ...params,
      ticket,
    );
    return { ...(yield* this.#inTheWay(request, ticket, Number(found?.now))), queued: Number(found?.n) > 0 };
  }

  *#inTheWay(request: LockRequest, ticket: bigint, now: number): Work<InTheWay> {
    const { where, params } = around(request.keys.map(({ key }) => key));
    const locks = yield* rows(
      `SELECT key, agent_id, session_id, token, mode, expires_at FROM stomp_locks WHERE ${where} AND expires_at > ?`,
      ...params,
      now,
    );
    const ahead = yield* rows(
      `SELECT w.agent_id, w.session_id, p.alive_until AS expires_at, k.key, k.mode FROM stomp_lock_waiter_keys k
         JOIN stomp_lock_waiters w ON w.ticket = k.ticket JOIN stomp_lock_processes p ON p.id = w.process
        WHERE ${where} AND k.ticket < ? AND p.alive_until > ? ORDER BY k.ticket`,
      ...params,
      ticket,
      now,
    );
    return {
      blocker: blockerOf(request, locks.map(lockOf), ahead.map(waiterOf)),
      locks,
      retryMs: nextExpiry([...locks, ...ahead], now),
    };
  }

  /** @param given the ticket of a waiter; without one, and with `enqueue`, a new one where it cannot be granted. */
  *attempt(request: LockRequest, given: bigint | undefined, enqueue: boolean, run: Run): Work<Attempt> {
    const grantedAt = this.#clock.now();
    const counters = yield* this.lockCounters();
    const now = Number(counters.now);
    const ticket = given ?? (run.again ? yield* this.#ticketOf(run.id) : undefined);
    const expired = yield* rows(
      'DELETE FROM stomp_locks WHERE expires_at <= ? RETURNING key, agent_id, session_id, token',
      now,
    );
    const { blocker, locks, retryMs } = yield* this.#inTheWay(
      request,
      ticket ?? BigInt(counters.ticket ?? 0) + 1n,
      now,
    );
    const seen = expired.map(expiredOf);
    if (!blocker) {
      const grant = yield* this.#grant(request, counters, locks, { now, grantedAt }, run.id);
      if (ticket !== undefined) yield* rows('DELETE FROM stomp_lock_waiters WHERE ticket = ?', ticket);
      yield* this.#tellOwnWaiters(request.owner);
      const abandoned = yield* this.#abandoned(request.keys);
      return { outcome: { grant }, ticket: undefined, retryMs: undefined, expired: seen, abandoned };
    }
    if (ticket !== undefined) yield* this.#takePlace(request, ticket, now, run.id);
    const place = ticket ?? (enqueue ? yield* this.#enqueue(request, counters, now, run.id) : undefined);
    return { outcome: { blocker }, ticket: place, retryMs, expired: seen, abandoned: [] };
  }

  *#ticketOf(id: string): Work<bigint | undefined> {
    const found = yield* rows('SELECT ticket FROM stomp_lock_waiters WHERE request = ?', id);
    return found[0] && BigInt(found[0].ticket ?? 0);
  }

  /** What an owner is granted may be what it waits for elsewhere. */
  *#tellOwnWaiters({ agentId, sessionId }: Owner): Work<void> {
    const found = yield* rows(
      'SELECT 1 AS n FROM stomp_lock_waiters WHERE agent_id = ? AND session_id = ?',
      agentId,
      sessionId,
    );
    if (found.length > 0) yield* this.#storage.notify(lockChannel);
  }

  /** Files that somebody has staged for these keys and holds them no more. */
  *#abandoned(keys: LockRequest['keys']): Work<readonly string[]> {
    const { where, params } = around(keys.map(({ key }) => key));
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
    id: string,
  ): Work<Grant> {
    const { owner, ttlMs } = request;
    const tokens = new Map<string, bigint>();
    let last = BigInt(counters.token ?? 0);
    for (const { key, mode } of request.keys) {
      const own = locks.find((row) => row.key === key && isOwner(row, owner));
      if (own) {
        yield* rows(
          `UPDATE stomp_locks SET holds = holds + 1, mode = ?, expires_at = ?, last_change = ?
            WHERE last_change <> ? AND key = ? AND agent_id = ? AND session_id = ?`,
          mode === 'exclusive' ? mode : (own.mode ?? mode),
          Math.max(Number(own.expires_at), now + ttlMs),
          id,
          id,
          key,
          owner.agentId,
          owner.sessionId,
        );
        tokens.set(key, BigInt(own.token ?? 0));
        continue;
      }
      last++;
      yield* rows(
        `INSERT INTO stomp_locks
           (key, agent_id, session_id, token, mode, holds, last_change, acquired_at, expires_at)
         VALUES (?, ?, ?, ?, ?, 1, ?, ?, ?)`,
        key,
        owner.agentId,
        owner.sessionId,
        last,
        mode,
        id,
        now,
        now + ttlMs,
      );
      tokens.set(key, last);
    }
    yield* rows('UPDATE stomp_lock_counters SET token = ?, seen_at = ? WHERE id = 1', last, now);
    return { owner, tokens, ttlMs, grantedAt };
  }

  *#enqueue(request: LockRequest, counters: Row, now: number, id: string): Work<bigint> {
    const ticket = BigInt(counters.ticket ?? 0) + 1n;
    yield* rows('UPDATE stomp_lock_counters SET ticket = ? WHERE id = 1', ticket);
    yield* this.#takePlace(request, ticket, now, id);
    return ticket;
  }

  /** Also again, of one who was taken for dead. */
  *#takePlace({ owner, keys }: LockRequest, ticket: bigint, now: number, id: string): Work<void> {
    yield* rows('DELETE FROM stomp_lock_processes WHERE alive_until <= ?', now);
    yield* this.#aliveUntil(now + aliveMs);
    yield* rows(
      `INSERT INTO stomp_lock_waiters (ticket, agent_id, session_id, request, process) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (ticket) DO NOTHING`,
      ticket,
      owner.agentId,
      owner.sessionId,
      id,
      this.#process,
    );
    for (const { key, mode } of keys) {
      yield* rows(
        'INSERT INTO stomp_lock_waiter_keys (ticket, key, mode) VALUES (?, ?, ?) ON CONFLICT (key, ticket) DO NOTHING',
        ticket,
        key,
        mode,
      );
    }
  }

  *renew(grant: Grant, ttlMs: number): Work<boolean> {
    const now = Number((yield* this.lockCounters()).now);
    if (!(yield* this.#valid(grant.tokens, now, grant.owner))) return false;
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

  /** @returns false when a key was lost before; of one that is run again, what is gone counts as released. */
  *release(grant: Grant, run: Run): Work<boolean> {
    const now = Number((yield* this.lockCounters()).now);
    let whole = true;
    for (const [key, token] of grant.tokens) {
      const expiresAt = yield* this.#releaseOne(key, token, grant.owner, run.id);
      const held = expiresAt === undefined ? run.again : expiresAt > now;
      if (!held) whole = false;
    }
    yield* this.#storage.notify(lockChannel);
    return whole;
  }

  /** @returns when it would have expired; undefined when it had gone. */
  *#releaseOne(key: string, token: bigint, { agentId }: Owner, id: string): Work<number | undefined> {
    const again = yield* rows(
      `UPDATE stomp_locks SET holds = CASE WHEN last_change = ? THEN holds ELSE holds - 1 END, last_change = ?
        WHERE key = ? AND token = ? AND agent_id = ? AND (holds > 1 OR last_change = ?) RETURNING expires_at`,
      id,
      id,
      key,
      token,
      agentId,
      id,
    );
    if (again[0]) return Number(again[0].expires_at);
    const last = yield* rows(
      'DELETE FROM stomp_locks WHERE key = ? AND token = ? AND agent_id = ? RETURNING expires_at',
      key,
      token,
      agentId,
    );
    if (!last[0]) return undefined;
    yield* rows('DELETE FROM stomp_staged WHERE token = ?', token);
    return Number(last[0].expires_at);
  }

  *#valid(tokens: ReadonlyMap<string, bigint>, now: number, owner?: Owner): Work<boolean> {
    for (const [key, token] of tokens) {
      const found = yield* rows(
        'SELECT agent_id FROM stomp_locks WHERE key = ? AND token = ? AND expires_at > ?',
        key,
        token,
        now,
      );
      if (!found[0] || (owner && found[0].agent_id !== owner.agentId)) return false;
    }
    return true;
  }

  *holds(grant: Grant): Work<boolean> {
    return yield* this.#valid(grant.tokens, yield* this.#now());
  }

  /** The names of all who hold anything. */
  *holders(): Work<ReadonlySet<string>> {
    const now = yield* this.#now();
    const found = yield* rows(
      'SELECT DISTINCT agent_id, session_id FROM stomp_locks WHERE expires_at > ?',
      now,
    );
    return new Set(
      found.map((row) => ownerName({ agentId: String(row.agent_id), sessionId: String(row.session_id) })),
    );
  }

  *held(): Work<HeldLock[]> {
    const now = yield* this.#now();
    const found = yield* rows(
      `SELECT l.key, l.agent_id, l.session_id, l.token, l.mode, l.acquired_at, l.expires_at,
              (SELECT count(*) FROM stomp_lock_waiter_keys k JOIN stomp_lock_waiters w ON w.ticket = k.ticket
                 JOIN stomp_lock_processes p ON p.id = w.process
                WHERE k.key = l.key AND p.alive_until > ?) AS n
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

  *waiting(): Work<WaitingRequest[]> {
    const now = yield* this.#now();
    const found = yield* rows(
      `SELECT w.ticket, w.agent_id, w.session_id, k.key, k.mode FROM stomp_lock_waiters w
         JOIN stomp_lock_waiter_keys k ON k.ticket = w.ticket JOIN stomp_lock_processes p ON p.id = w.process
        WHERE p.alive_until > ? ORDER BY w.ticket, k.key`,
      now,
    );
    const requests = new Map<string, Owner & { keys: KeyRequest[] }>();
    for (const row of found) {
      const { key, mode, agentId, sessionId } = waiterOf(row);
      const ticket = String(row.ticket);
      const request = requests.get(ticket) ?? { agentId, sessionId, keys: [] };
      requests.set(ticket, request);
      request.keys.push({ key, mode });
    }
    return [...requests.values()];
  }

  *leave(tickets: readonly bigint[]): Work<void> {
    for (const ticket of tickets) yield* rows('DELETE FROM stomp_lock_waiters WHERE ticket = ?', ticket);
    yield* this.#storage.notify(lockChannel);
  }

  /** Those of this process who wait are still there. */
  *beat(): Work<void> {
    yield* this.#aliveUntil((yield* this.#now()) + aliveMs);
  }

  *#aliveUntil(time: number): Work<void> {
    yield* rows(
      `INSERT INTO stomp_lock_processes (id, alive_until) VALUES (?, ?)
         ON CONFLICT (id) DO UPDATE SET alive_until = excluded.alive_until`,
      this.#process,
      time,
    );
  }

  *raise(token: bigint): Work<void> {
    yield* rows('UPDATE stomp_lock_counters SET token = ? WHERE id = 1 AND token < ?', token, token);
  }

  *#now(): Work<number> {
    const { sql, params } = this.#storage.clock();
    const [found] = yield* rows(`SELECT ${sql} AS now`, ...params);
    return Number(found?.now);
  }

  /** The files are gone. */
  *cleared(paths: readonly string[]): Work<void> {
    for (const path of paths) yield* rows('DELETE FROM stomp_staged WHERE path = ?', path);
  }

  /** Whether all of it is held; it stays so until the transaction ends. */
  *live(tokens: ReadonlyMap<string, bigint>): Work<boolean> {
    const { now } = yield* this.lockCounters();
    return yield* this.#valid(tokens, Number(now));
  }
}

export function ownerName({ agentId, sessionId }: Owner): string {
  return JSON.stringify([agentId, sessionId]);
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

function nextExpiry(rowsInTheWay: readonly Row[], now: number): number | undefined {
  if (rowsInTheWay.length === 0) return undefined;
  return Math.max(0, Math.min(...rowsInTheWay.map((row) => Number(row.expires_at))) - now);
}

const isOwner = (row: Row, owner: Owner) =>
  row.agent_id === owner.agentId && row.session_id === owner.sessionId;

function ownerOf(row: Row): Owner & { readonly key: string } {
  return { key: String(row.key), agentId: String(row.agent_id), sessionId: String(row.session_id) };
}

const lockOf = (row: Row): AroundLock => ({ ...ownerOf(row), mode: row.mode as LockMode });
const waiterOf = lockOf;
const expiredOf = (row: Row): Expired => ({ ...ownerOf(row), token: BigInt(row.token ?? 0) });
