/** The lock table in a database, for all processes that use it. */
import { StompError } from '../errors.js';
import { type Row, rows, type SqlValue, type Storage, type Work } from '../storage/storage.js';
import { type Clock, machineClock } from './clock.js';
import { conflict, directoriesOf, isDirectory, type KeyRequest, type LockMode } from './keys.js';
import type {
  Blocker,
  Grant,
  HeldLock,
  LockRequest,
  LockTable,
  Outcome,
  Owner,
  TableEvents,
  WaitLimit,
} from './lock-table.js';
import { lockMigrations } from './sql-schema.js';

const channel = 'locks';
// A waiter whose process is gone stands in the way no longer than this.
const waiterAliveMs = 3000;
const heartbeatMs = 1000;
const largestBatch = 64;

interface Attempt {
  readonly outcome: Outcome;
  readonly ticket: bigint | undefined;
  /** Milliseconds until the first of those in the way expires. */
  readonly retryMs: number | undefined;
  readonly expired: readonly Expired[];
}

type Expired = Owner & { readonly key: string; readonly token: bigint };

interface LocalWaiter {
  readonly ticket: bigint;
  readonly request: LockRequest;
  settle(outcome: Outcome): void;
  refuse(error: unknown): void;
}

interface Queued {
  readonly work: () => Work<unknown>;
  resolve(result: unknown): void;
  reject(error: unknown): void;
}

export interface SqlTableOptions {
  storage: Storage;
  clock?: Clock;
  events?: TableEvents;
}

export class SqlTable implements LockTable {
  readonly kind: 'sqlite' | 'postgres';
  readonly durable = true;
  readonly #storage: Storage;
  readonly #clock: Clock;
  readonly #events: TableEvents | undefined;
  /** Work of this process goes to the database in its order, as much at once as has gathered. */
  readonly #queue: Queued[] = [];
  #draining = false;
  /** Of this process, in the order of their tickets. */
  readonly #waiters = new Map<bigint, LocalWaiter>();
  #unlisten: Promise<() => Promise<void>> | undefined;
  #callOffBeat: (() => void) | undefined;
  #callOffRetry: (() => void) | undefined;
  #retryAt = Number.POSITIVE_INFINITY;
  #pumping: Promise<void> | undefined;
  #pumpAgain = false;
  #closed = false;

  private constructor(options: SqlTableOptions) {
    this.#storage = options.storage;
    this.kind = options.storage.dialect;
    this.#clock = options.clock ?? machineClock;
    this.#events = options.events;
  }

  /** Makes the tables if need be, and forgets what was held before the machine was last started. */
  static async open(options: SqlTableOptions): Promise<SqlTable> {
    await options.storage.migrate(lockMigrations);
    const table = new SqlTable(options);
    await options.storage.write(() => table.#forgetEarlierBoot());
    return table;
  }

  async acquire(request: LockRequest, limit: WaitLimit): Promise<Outcome> {
    if (this.#closed) throw closedError();
    if (limit.signal?.aborted) throw cancelledError(limit.signal.reason);
    const wait = limit.maxWaitMs > 0;
    const deadline = this.#clock.now() + limit.maxWaitMs;
    const attempt = await this.#write(() => this.#attempt(request, undefined, wait));
    this.#tell(attempt.expired);
    if (attempt.ticket === undefined) return attempt.outcome;
    return this.#wait(request, attempt, deadline, limit.signal);
  }

  renew(grant: Grant, ttlMs: number): Promise<boolean> {
    return this.#write(() => this.#renew(grant, ttlMs));
  }

  async release(grant: Grant): Promise<boolean> {
    const whole = await this.#write(() => this.#release(grant));
    if (this.#waiters.size > 0) void this.#pump();
    return whole;
  }

  holds(grant: Grant): Promise<boolean> {
    return this.#storage.read(() => this.#holds(grant));
  }

  held(): Promise<HeldLock[]> {
    return this.#storage.read(() => this.#held());
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#callOffBeat?.();
    this.#callOffRetry?.();
    await this.#pumping;
    const waiting = [...this.#waiters.values()];
    for (const waiter of waiting) waiter.refuse(closedError());
    if (waiting.length > 0) await this.#withdraw(waiting.map(({ ticket }) => ticket));
    const unlisten = await this.#unlisten?.catch(() => undefined);
    await unlisten?.();
  }

  // ---- transactions ----

  #write<T>(work: () => Work<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#queue.push({ work, resolve: resolve as (result: unknown) => void, reject });
      if (!this.#draining) void this.#drain();
    });
  }

  async #drain(): Promise<void> {
    this.#draining = true;
    while (this.#queue.length > 0) {
      const batch = this.#queue.splice(0, largestBatch);
      try {
        const results = await this.#storage.write(() => inOrder(batch));
        batch.forEach((queued, i) => {
          queued.resolve(results[i]);
        });
      } catch (error) {
        for (const queued of batch) queued.reject(error);
      }
    }
    this.#draining = false;
  }

  *#lockCounters(): Work<Row> {
    const forUpdate = this.kind === 'postgres' ? ' FOR UPDATE' : '';
    const found = yield* rows(
      `SELECT token, ticket, seen_at FROM stomp_lock_counters WHERE id = 1${forUpdate}`,
    );
    const counters = found[0];
    if (!counters) throw new StompError('INTERNAL_ERROR', 'The lock table has lost its counters.');
    return counters;
  }

  // The machine's clock begins anew when it starts: what is dated later is from before.
  *#forgetEarlierBoot(): Work<void> {
    if (this.kind !== 'sqlite') return;
    const counters = yield* this.#lockCounters();
    const now = yield* this.#storage.now();
    if (now >= Number(counters.seen_at)) return;
    yield* rows('DELETE FROM stomp_locks');
    yield* rows('DELETE FROM stomp_lock_waiters');
    yield* rows('UPDATE stomp_lock_counters SET seen_at = ? WHERE id = 1', now);
  }

  /** @param ticket of a waiter; without one, and with `enqueue`, a new one where it cannot be granted. */
  *#attempt(request: LockRequest, ticket: bigint | undefined, enqueue: boolean): Work<Attempt> {
    const counters = yield* this.#lockCounters();
    const now = yield* this.#storage.now();
    const expired = yield* rows(
      'DELETE FROM stomp_locks WHERE expires_at <= ? RETURNING key, agent_id, session_id, token',
      now,
    );
    yield* rows('DELETE FROM stomp_lock_waiters WHERE alive_until <= ?', now);
    const around = placeOf(request.keys);
    const locks = yield* rows(
      `SELECT key, agent_id, session_id, token, mode, expires_at FROM stomp_locks WHERE ${around.where}`,
      ...around.params,
    );
    const ahead = yield* rows(
      `SELECT w.agent_id, w.session_id, k.key, k.mode FROM stomp_lock_waiter_keys k
         JOIN stomp_lock_waiters w ON w.ticket = k.ticket
        WHERE (${around.where}) AND k.ticket < ? ORDER BY k.ticket`,
      ...around.params,
      ticket ?? BigInt(counters.ticket ?? 0) + 1n,
    );
    const blocker = blockerOf(request, locks.map(lockOf), ahead.map(waiterOf));
    const seen = expired.map(expiredOf);
    if (!blocker) {
      const grant = yield* this.#grant(request, counters, locks, now);
      if (ticket !== undefined) yield* rows('DELETE FROM stomp_lock_waiters WHERE ticket = ?', ticket);
      return { outcome: { grant }, ticket: undefined, retryMs: undefined, expired: seen };
    }
    const retryMs = nextExpiry(locks, now);
    const place = ticket ?? (enqueue ? yield* this.#enqueue(request, counters, now) : undefined);
    return { outcome: { blocker }, ticket: place, retryMs, expired: seen };
  }

  *#grant(request: LockRequest, counters: Row, locks: readonly Row[], now: number): Work<Grant> {
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
    return { owner, tokens, ttlMs };
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

  *#renew(grant: Grant, ttlMs: number): Work<boolean> {
    yield* this.#lockCounters();
    const now = yield* this.#storage.now();
    if (!(yield* this.#valid(grant, now))) return false;
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

  *#release(grant: Grant): Work<boolean> {
    yield* this.#lockCounters();
    const now = yield* this.#storage.now();
    const whole = yield* this.#valid(grant, now);
    for (const [key, token] of grant.tokens) {
      yield* rows('DELETE FROM stomp_locks WHERE key = ? AND token = ? AND holds <= 1', key, token);
      yield* rows('UPDATE stomp_locks SET holds = holds - 1 WHERE key = ? AND token = ?', key, token);
    }
    yield* this.#storage.notify(channel);
    return whole;
  }

  *#valid(grant: Grant, now: number): Work<boolean> {
    for (const [key, token] of grant.tokens) {
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

  *#holds(grant: Grant): Work<boolean> {
    return yield* this.#valid(grant, yield* this.#storage.now());
  }

  *#held(): Work<HeldLock[]> {
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

  *#leave(tickets: readonly bigint[]): Work<void> {
    for (const ticket of tickets) yield* rows('DELETE FROM stomp_lock_waiters WHERE ticket = ?', ticket);
    yield* this.#storage.notify(channel);
  }

  *#beat(tickets: readonly bigint[]): Work<void> {
    const now = yield* this.#storage.now();
    for (const ticket of tickets) {
      yield* rows(
        'UPDATE stomp_lock_waiters SET alive_until = ? WHERE ticket = ?',
        now + waiterAliveMs,
        ticket,
      );
    }
  }

  // ---- waiting ----

  #wait(request: LockRequest, first: Attempt, deadline: number, signal?: AbortSignal): Promise<Outcome> {
    const ticket = first.ticket as bigint;
    return new Promise((resolve, reject) => {
      const leave = () => {
        callOff();
        signal?.removeEventListener('abort', abort);
        this.#waiters.delete(ticket);
        if (this.#waiters.size === 0) this.#rest();
      };
      const waiter: LocalWaiter = {
        ticket,
        request,
        settle: (outcome) => {
          leave();
          resolve(outcome);
        },
        refuse: (error) => {
          leave();
          reject(error);
        },
      };
      const abort = () => {
        waiter.refuse(cancelledError(signal?.reason));
        void this.#withdraw([ticket]);
      };
      const left = deadline - this.#clock.now();
      const callOff = this.#clock.after(left, () => void this.#timeOut(waiter), true);
      signal?.addEventListener('abort', abort, { once: true });
      this.#waiters.set(ticket, waiter);
      this.#watch();
      if (signal?.aborted) abort();
      else this.#retryIn(first.retryMs);
      // What was released between the attempt and now was not heard.
      void this.#pump();
    });
  }

  async #timeOut(waiter: LocalWaiter): Promise<void> {
    try {
      const last = await this.#write(() => this.#lastAttempt(waiter));
      this.#tell(last.expired);
      if (this.#waiters.has(waiter.ticket)) waiter.settle(last.outcome);
      else if ('grant' in last.outcome) await this.release(last.outcome.grant);
    } catch (error) {
      waiter.refuse(error);
    }
  }

  *#lastAttempt(waiter: LocalWaiter): Work<Attempt> {
    const attempt = yield* this.#attempt(waiter.request, waiter.ticket, false);
    if ('blocker' in attempt.outcome) yield* this.#leave([waiter.ticket]);
    return attempt;
  }

  /** Tries for every waiter of this process, one run at a time. */
  #pump(): Promise<void> {
    this.#pumpAgain = true;
    this.#pumping ??= this.#pumpAll();
    return this.#pumping;
  }

  async #pumpAll(): Promise<void> {
    await undefined; // #pumping is set by now
    while (this.#pumpAgain && !this.#closed) {
      this.#pumpAgain = false;
      await this.#pumpOnce();
    }
    // In one turn with the last look at #pumpAgain, or a call in between would be lost.
    this.#pumping = undefined;
  }

  async #pumpOnce(): Promise<void> {
    const claimed: KeyRequest[] = [];
    for (const waiter of [...this.#waiters.values()]) {
      const behind = waiter.request.keys.some((key) => claimed.some((other) => conflict(key, other)));
      claimed.push(...(behind ? [] : waiter.request.keys));
      if (!behind && !(await this.#tryFor(waiter))) return;
    }
  }

  /** False when the database does not answer: the deadlines go on. */
  async #tryFor(waiter: LocalWaiter): Promise<boolean> {
    try {
      const attempt = await this.#write(() => this.#attempt(waiter.request, waiter.ticket, false));
      this.#tell(attempt.expired);
      if ('blocker' in attempt.outcome) this.#retryIn(attempt.retryMs);
      else if (this.#waiters.has(waiter.ticket)) waiter.settle(attempt.outcome);
      else await this.release(attempt.outcome.grant);
      return true;
    } catch {
      this.#retryIn(heartbeatMs);
      return false;
    }
  }

  async #withdraw(tickets: readonly bigint[]): Promise<void> {
    // Failing that, the waiter is dead to the others in a moment.
    await this.#write(() => this.#leave(tickets)).catch(() => undefined);
    if (this.#waiters.size > 0) void this.#pump();
  }

  /** Whoever asks for the earliest moment has it; everybody is tried for then. */
  #retryIn(ms: number | undefined): void {
    const at = this.#clock.now() + (ms ?? 0);
    if (ms === undefined || this.#closed || at >= this.#retryAt) return;
    this.#callOffRetry?.();
    this.#retryAt = at;
    this.#callOffRetry = this.#clock.after(ms + 0.5, () => {
      this.#retryAt = Number.POSITIVE_INFINITY;
      void this.#pump();
    });
  }

  #watch(): void {
    this.#unlisten ??= this.#storage.listen(channel, () => {
      if (this.#waiters.size > 0) void this.#pump();
    });
    this.#unlisten.catch(() => {
      this.#unlisten = undefined;
    });
    this.#callOffBeat ??= this.#clock.after(heartbeatMs, () => void this.#heartbeat());
  }

  async #heartbeat(): Promise<void> {
    this.#callOffBeat = undefined;
    if (this.#waiters.size === 0 || this.#closed) return;
    await this.#write(() => this.#beat([...this.#waiters.keys()])).catch(() => undefined);
    if (this.#waiters.size > 0 && !this.#closed) this.#watch();
  }

  #rest(): void {
    this.#callOffBeat?.();
    this.#callOffBeat = undefined;
    this.#callOffRetry?.();
    this.#retryAt = Number.POSITIVE_INFINITY;
  }

  #tell(expired: readonly Expired[]): void {
    for (const lock of expired) this.#events?.expired(lock);
  }
}

function* inOrder(batch: readonly Queued[]): Work<unknown[]> {
  const results: unknown[] = [];
  for (const { work } of batch) results.push(yield* work());
  return results;
}

interface Place {
  readonly where: string;
  readonly params: readonly SqlValue[];
}

/** Where in the order of keys something may be in conflict with these. */
function placeOf(keys: readonly KeyRequest[]): Place {
  const exact = new Set(keys.flatMap(({ key }) => [key, ...directoriesOf(key)]));
  const below = keys.filter(({ key }) => isDirectory(key));
  const parts = [
    `key IN (${Array.from(exact, () => '?').join(', ')})`,
    ...below.map(() => '(key >= ? AND key < ?)'),
  ];
  // The character after `/` is `0`.
  const ranges = below.flatMap(({ key }) => [key, `${key.slice(0, -1)}0`]);
  return { where: parts.join(' OR '), params: [...exact, ...ranges] };
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

function closedError(): StompError {
  return new StompError('SHUTTING_DOWN', 'The lock manager is closed.');
}

function cancelledError(cause: unknown): StompError {
  return new StompError('CANCELLED', 'The request for the lock was cancelled.', { cause });
}
