/** The lock table in a database, for all processes that use it. */
import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { StompError } from '../errors.js';
import type { Storage, Work } from '../storage/storage.js';
import { type Clock, machineClock } from './clock.js';
import { lockCancelledError, locksClosedError } from './errors.js';
import { conflict } from './keys.js';
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
import { type Attempt, type Expired, lockChannel, ownerName, type Run, SqlLocks } from './sql-locks.js';
import { lockMigrations } from './sql-schema.js';

const heartbeatMs = 300;
// While the database does not answer.
const againMs = 1000;
const largestBatch = 64;
// How long the database may take to answer.
const answerMs = 2000;
// To those who give up: a thousand may at once.
const lastAnswerMs = 5000;

interface LocalWaiter {
  readonly id: string;
  readonly ticket: bigint;
  readonly request: LockRequest;
  /** Its last attempt is on its way: what is said of it later would bring it back into the queue. */
  leaving: boolean;
  /** It has its lease: a second attempt, made before that was known, was granted the same one. */
  granted: boolean;
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
  /** Tickets that nobody waits for any more, and that are not known to be out of the queue yet. */
  readonly #gone = new Set<bigint>();
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
    await options.storage.write(() => table.#locks.passFences());
    await unlinkAll(await options.storage.write(() => table.#locks.forgetEarlierBoot()));
    return table;
  }

  async acquire(request: LockRequest, limit: WaitLimit): Promise<Outcome> {
    if (this.#closed) throw locksClosedError();
    if (limit.signal?.aborted) throw lockCancelledError(limit.signal.reason);
    const wait = limit.maxWaitMs > 0;
    const deadline = this.#clock.now() + limit.maxWaitMs;
    const id = randomUUID();
    const first = this.#writeAs(id, (run) => this.#locks.attempt(request, undefined, wait, run));
    const attempt = await this.#answer(first, limit.maxWaitMs + answerMs, (late) => this.#takeBack(late));
    if (attempt.ticket === undefined) return this.#deliver(attempt);
    this.#tell(attempt.expired);
    return this.#wait(request, attempt, { id, deadline, signal: limit.signal });
  }

  /** A database that does not answer is not waited for much longer than the lock would have been. */
  #answer(attempt: Promise<Attempt>, patienceMs: number, tooLate: (late: Attempt) => void): Promise<Attempt> {
    return new Promise((resolve, reject) => {
      let late = false;
      const callOff = this.#clock.after(patienceMs, () => {
        late = true;
        const message = `The lock database does not answer; waited ${Math.round(patienceMs)} ms. Check that it runs.`;
        reject(new StompError('DB_BUSY', message, { fields: { description: 'no answer' } }));
      });
      attempt.then(
        (result) => {
          callOff();
          if (late) tooLate(result);
          else resolve(result);
        },
        (error: unknown) => {
          callOff();
          reject(error);
        },
      );
    });
  }

  /** What nobody waits for any more. Failing that, it expires. */
  #takeBack({ outcome, ticket }: Attempt): void {
    if (ticket !== undefined) void this.#withdraw([ticket]);
    else if ('grant' in outcome) this.release(outcome.grant).catch(() => undefined);
  }

  renew(grant: Grant, ttlMs: number): Promise<boolean> {
    return this.#write(() => this.#locks.renew(grant, ttlMs));
  }

  async release(grant: Grant): Promise<boolean> {
    const whole = await this.#writeAs(randomUUID(), (run) => this.#locks.release(grant, run));
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

  raise(token: bigint): Promise<void> {
    return this.#write(() => this.#locks.raise(token));
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#callOffBeat?.();
    this.#callOffRetry?.();
    await this.#pumping;
    const waiting = [...this.#waiters.values()];
    for (const waiter of waiting) waiter.refuse(locksClosedError());
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

  /** Of work that must not be done twice, should its first end not be heard. */
  #writeAs<T>(id: string, work: (run: Run) => Work<T>): Promise<T> {
    let again = false;
    return this.#write(() => {
      const run = { id, again };
      again = true;
      return work(run);
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

  #wait(
    request: LockRequest,
    first: Attempt,
    { id, deadline, signal }: { id: string; deadline: number; signal: AbortSignal | undefined },
  ): Promise<Outcome> {
    const ticket = first.ticket as bigint;
    return new Promise((resolve, reject) => {
      const leave = () => {
        waiter.leaving = true;
        callOff();
        signal?.removeEventListener('abort', abort);
        this.#waiters.delete(ticket);
        if (this.#waiters.size === 0) this.#rest();
      };
      const waiter: LocalWaiter = {
        id,
        ticket,
        request,
        leaving: false,
        granted: false,
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
        waiter.refuse(lockCancelledError(signal?.reason));
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
    waiter.leaving = true;
    try {
      const last = this.#writeAs(waiter.id, (run) => this.#lastAttempt(waiter, run));
      const answer = this.#answer(last, lastAnswerMs, (late) => void this.#settle(waiter, late));
      await this.#settle(waiter, await answer);
    } catch (error) {
      waiter.refuse(error);
      void this.#withdraw([waiter.ticket]);
    }
  }

  *#lastAttempt(waiter: LocalWaiter, run: Run): Work<Attempt> {
    const attempt = yield* this.#locks.attempt(waiter.request, waiter.ticket, false, run);
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
    const claimed: LockRequest[] = [];
    let holders: ReadonlySet<string> | undefined;
    for (const waiter of [...this.#waiters.values()]) {
      const { request } = waiter;
      if (claimed.some((earlier) => standsBefore(earlier, request))) {
        // Who holds something may be in the way of those who stand before it, and then passes by.
        holders ??= await this.#storage.read(() => this.#locks.holders()).catch(() => undefined);
        if (!holders?.has(ownerName(request.owner))) continue;
      }
      claimed.push(request);
      if (!(await this.#tryFor(waiter))) return;
    }
  }

  /** False when the database does not answer: the deadlines go on. */
  async #tryFor(waiter: LocalWaiter): Promise<boolean> {
    try {
      const { id, ticket, request } = waiter;
      // Reading keeps nobody from writing, and mostly there is still somebody in the way.
      const look = await this.#storage.read(() => this.#locks.look(request, ticket));
      if (waiter.leaving) return true;
      if (look.blocker && look.queued) {
        this.#retryIn(look.retryMs);
        return true;
      }
      const attempt = await this.#writeAs(id, (run) => this.#locks.attempt(request, ticket, false, run));
      if ('grant' in attempt.outcome) await this.#settle(waiter, attempt);
      else {
        this.#tell(attempt.expired);
        this.#retryIn(attempt.retryMs);
      }
      return true;
    } catch {
      this.#retryIn(againMs);
      return false;
    }
  }

  async #settle(waiter: LocalWaiter, attempt: Attempt): Promise<void> {
    const waits = () => this.#waiters.has(waiter.ticket);
    try {
      const outcome = await this.#deliver(attempt);
      if (waits()) {
        waiter.granted = 'grant' in outcome;
        waiter.settle(outcome);
      } else if ('grant' in outcome && !waiter.granted) await this.release(outcome.grant);
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
    for (const ticket of tickets) this.#gone.add(ticket);
    await this.#leave(false).catch(() => undefined);
    if (this.#waiters.size > 0) void this.#pump();
  }

  /** Takes those who are gone out of the queue. */
  async #leave(andBeat: boolean): Promise<void> {
    const gone = [...this.#gone];
    const locks = this.#locks;
    await this.#write(function* () {
      if (gone.length > 0) yield* locks.leave(gone);
      if (andBeat) yield* locks.beat();
    });
    for (const ticket of gone) this.#gone.delete(ticket);
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
    const changed = () => {
      if (this.#waiters.size > 0) void this.#pump();
    };
    if (!this.#unlisten) {
      this.#unlisten = this.#storage.listen(lockChannel, changed);
      // What was told before it listened was not heard.
      this.#unlisten.then(changed, () => {
        this.#unlisten = undefined;
      });
    }
    this.#callOffBeat ??= this.#clock.after(heartbeatMs, () => void this.#heartbeat());
  }

  async #heartbeat(): Promise<void> {
    this.#callOffBeat = undefined;
    if (this.#waiters.size === 0 || this.#closed) return;
    // In one transaction: a sign of life would also keep those who could not be taken out of the queue.
    await this.#leave(true).catch(() => undefined);
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

/** One owner's requests do not exclude each other: the first may be what the second needs. */
function standsBefore(earlier: LockRequest, later: LockRequest): boolean {
  const { agentId, sessionId } = earlier.owner;
  if (later.owner.agentId === agentId && later.owner.sessionId === sessionId) return false;
  return later.keys.some((key) => earlier.keys.some((other) => conflict(key, other)));
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
