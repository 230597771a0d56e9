/** The lock table in a database, for all processes that use it. */
import { rm } from 'node:fs/promises';
import { StompError } from '../errors.js';
import type { Storage, Work } from '../storage/storage.js';
import { type Clock, machineClock } from './clock.js';
import { conflict, type KeyRequest } from './keys.js';
import type {
  Grant,
  HeldLock,
  LockRequest,
  LockTable,
  Outcome,
  TableEvents,
  WaitingRequest,
  WaitLimit,
} from './lock-table.js';
import { type Attempt, type Expired, lockChannel, SqlLocks } from './sql-locks.js';
import { lockMigrations } from './sql-schema.js';

const heartbeatMs = 1000;
const largestBatch = 64;

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
}

export class SqlTable implements LockTable {
  readonly kind: 'sqlite' | 'postgres';
  readonly durable = true;
  events: TableEvents | undefined;
  readonly #storage: Storage;
  readonly #locks: SqlLocks;
  readonly #clock: Clock;
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
    this.#locks = new SqlLocks(options.storage, this.#clock);
  }

  /** Makes the tables if need be, and forgets what was held before the machine was last started. */
  static async open(options: SqlTableOptions): Promise<SqlTable> {
    await options.storage.migrate(lockMigrations);
    const table = new SqlTable(options);
    await unlinkAll(await options.storage.write(() => table.#locks.forgetEarlierBoot()));
    return table;
  }

  async acquire(request: LockRequest, limit: WaitLimit): Promise<Outcome> {
    if (this.#closed) throw closedError();
    if (limit.signal?.aborted) throw cancelledError(limit.signal.reason);
    const wait = limit.maxWaitMs > 0;
    const deadline = this.#clock.now() + limit.maxWaitMs;
    const attempt = await this.#write(() => this.#locks.attempt(request, undefined, wait));
    if (attempt.ticket === undefined) return this.#deliver(attempt);
    this.#tell(attempt.expired);
    return this.#wait(request, attempt, deadline, limit.signal);
  }

  renew(grant: Grant, ttlMs: number): Promise<boolean> {
    return this.#write(() => this.#locks.renew(grant, ttlMs));
  }

  async release(grant: Grant): Promise<boolean> {
    const whole = await this.#write(() => this.#locks.release(grant));
    if (this.#waiters.size > 0) void this.#pump();
    return whole;
  }

  holds(grant: Grant): Promise<boolean> {
    return this.#storage.read(() => this.#locks.holds(grant));
  }

  held(): Promise<HeldLock[]> {
    return this.#storage.read(() => this.#locks.held());
  }

  waiting(): Promise<WaitingRequest[]> {
    return this.#storage.read(() => this.#locks.waiting());
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

  *live(tokens: ReadonlyMap<string, bigint>): Work<boolean> {
    return yield* this.#locks.live(tokens);
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
      await this.#settle(waiter, last);
    } catch (error) {
      waiter.refuse(error);
    }
  }

  *#lastAttempt(waiter: LocalWaiter): Work<Attempt> {
    const attempt = yield* this.#locks.attempt(waiter.request, waiter.ticket, false);
    if ('blocker' in attempt.outcome) yield* this.#locks.leave([waiter.ticket]);
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
      const attempt = await this.#write(() => this.#locks.attempt(waiter.request, waiter.ticket, false));
      if ('grant' in attempt.outcome) await this.#settle(waiter, attempt);
      else {
        this.#tell(attempt.expired);
        this.#retryIn(attempt.retryMs);
      }
      return true;
    } catch {
      this.#retryIn(heartbeatMs);
      return false;
    }
  }

  async #settle(waiter: LocalWaiter, attempt: Attempt): Promise<void> {
    const waits = () => this.#waiters.has(waiter.ticket);
    try {
      const outcome = await this.#deliver(attempt);
      if (waits()) waiter.settle(outcome);
      else if ('grant' in outcome) await this.release(outcome.grant);
    } catch (error) {
      if (waits()) waiter.refuse(error);
    }
  }

  /** Before a grant goes out: nothing that an earlier holder has staged can be put in place from now on. */
  async #deliver({ outcome, expired, abandoned }: Attempt): Promise<Outcome> {
    this.#tell(expired);
    if (abandoned.length === 0 || !('grant' in outcome)) return outcome;
    try {
      await unlinkAll(abandoned);
      await this.#write(() => this.#locks.cleared(abandoned));
      return outcome;
    } catch (error) {
      await this.release(outcome.grant);
      throw error;
    }
  }

  async #withdraw(tickets: readonly bigint[]): Promise<void> {
    // Failing that, the waiter is dead to the others in a moment.
    await this.#write(() => this.#locks.leave(tickets)).catch(() => undefined);
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
    this.#unlisten ??= this.#storage.listen(lockChannel, () => {
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
    await this.#write(() => this.#locks.beat([...this.#waiters.keys()])).catch(() => undefined);
    if (this.#waiters.size > 0 && !this.#closed) this.#watch();
  }

  #rest(): void {
    this.#callOffBeat?.();
    this.#callOffBeat = undefined;
    this.#callOffRetry?.();
    this.#retryAt = Number.POSITIVE_INFINITY;
  }

  #tell(expired: readonly Expired[]): void {
    for (const lock of expired) this.events?.expired(lock);
  }
}

function* inOrder(batch: readonly Queued[]): Work<unknown[]> {
  const results: unknown[] = [];
  for (const { work } of batch) results.push(yield* work());
  return results;
}

/** @throws StompError INTERNAL_ERROR when a file that is there cannot be removed. */
async function unlinkAll(paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    await rm(path, { recursive: true, force: true }).catch((error: Error) => {
      const message = `Cannot remove ${path}, which a lost lease has left behind: ${error.message}. Remove it by hand.`;
      throw new StompError('INTERNAL_ERROR', message, { fields: { file: path }, cause: error });
    });
  }
}

function closedError(): StompError {
  return new StompError('SHUTTING_DOWN', 'The lock manager is closed.');
}

function cancelledError(cause: unknown): StompError {
  return new StompError('CANCELLED', 'The request for the lock was cancelled.', { cause });
}
