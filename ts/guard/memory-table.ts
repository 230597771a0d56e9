/** The lock table of one process: nothing is written, nothing polls. */
import type { Work } from '../storage/storage.js';
import { type Clock, machineClock } from './clock.js';
import { lockCancelledError, locksClosedError } from './errors.js';
import { conflict, directoriesOf, isDirectory, type KeyRequest, type LockMode, overlap } from './keys.js';
import type {
  Blocker,
  Grant,
  HeldLock,
  LockRequest,
  LockTable,
  Outcome,
  Owner,
  TableEvents,
  WaitingRequest,
  WaitLimit,
} from './lock-table.js';

interface Held extends Owner {
  readonly key: string;
  mode: LockMode;
  readonly token: bigint;
  readonly since: number;
  expiresAt: number;
  holds: number;
}

interface Waiter {
  readonly request: LockRequest;
  grant(grant: Grant): void;
  refuse(error: Error): void;
}

const leastSweep = 1024;
const sameOwner = (a: Owner, b: Owner) => a.agentId === b.agentId && a.sessionId === b.sessionId;

export interface MemoryTableOptions {
  clock?: Clock;
  /** Tokens begin above it: the highest that anything guarded has ever seen. */
  above?: bigint;
}

export class MemoryTable implements LockTable {
  readonly kind = 'memory';
  readonly durable = false;
  events: TableEvents | undefined;
  readonly #clock: Clock;
  /** By key; more than one holder only when all of them share. */
  readonly #held = new Map<string, Held[]>();
  /** In the order in which they asked. */
  readonly #waiters = new Set<Waiter>();
  /** The same by key, each in that order. */
  readonly #queues = new Map<string, Set<Waiter>>();
  /** Keys that are held or waited for and cover others: rare, and then every key must be looked at. */
  #directories = 0;
  #sweepAt = leastSweep;
  #token: bigint;
  #callOff: (() => void) | undefined;
  #wakeAt = Number.POSITIVE_INFINITY;
  #closed = false;

  constructor(options: MemoryTableOptions = {}) {
    this.#clock = options.clock ?? machineClock;
    this.#token = options.above ?? 0n;
  }

  acquire(request: LockRequest, limit: WaitLimit): Promise<Outcome> {
    if (this.#closed) return Promise.reject(locksClosedError());
    let blocker = this.#blocker(request, undefined);
    if (blocker && this.#admit(this.#expire())) blocker = this.#blocker(request, undefined);
    if (this.#held.size >= this.#sweepAt) this.#sweep();
    if (!blocker) return Promise.resolve({ grant: this.#grant(request) });
    if (limit.maxWaitMs <= 0) return Promise.resolve({ blocker });
    return this.#wait(request, limit);
  }

  renew(grant: Grant, ttlMs: number): Promise<boolean> {
    const locks = this.#own(grant);
    if (locks.length < grant.tokens.size) return Promise.resolve(false);
    const until = this.#clock.now() + ttlMs;
    for (const lock of locks) lock.expiresAt = Math.max(until, lock.holds > 1 ? lock.expiresAt : 0);
    this.#watch();
    return Promise.resolve(true);
  }

  release(grant: Grant): Promise<boolean> {
    const locks = this.#own(grant);
    for (const lock of locks) {
      lock.holds--;
      if (lock.holds === 0) this.#drop(lock);
    }
    this.#admit(locks.map((lock) => lock.key));
    return Promise.resolve(locks.length === grant.tokens.size);
  }

  holds(grant: Grant): Promise<boolean> {
    return Promise.resolve(this.#own(grant).length === grant.tokens.size);
  }

  // biome-ignore lint/correctness/useYield: tables in databases ask them
  *live(tokens: ReadonlyMap<string, bigint>): Work<boolean> {
    return this.#own({ tokens }).length === tokens.size;
  }

  held(): Promise<HeldLock[]> {
    this.#admit(this.#expire());
    const now = this.#clock.now();
    const all = [...this.#held.values()].flat().map((lock) => ({
      key: lock.key,
      mode: lock.mode,
      token: lock.token,
      agentId: lock.agentId,
      sessionId: lock.sessionId,
      heldMs: now - lock.since,
      ttlRemainingMs: lock.expiresAt - now,
      waiters: this.#queues.get(lock.key)?.size ?? 0,
    }));
    return Promise.resolve(all.sort((a, b) => (a.key < b.key ? -1 : 1)));
  }

  waiting(): Promise<WaitingRequest[]> {
    this.#admit(this.#expire());
    return Promise.resolve(Array.from(this.#waiters, ({ request: { owner, keys } }) => ({ ...owner, keys })));
  }

  raise(token: bigint): Promise<void> {
    if (token > this.#token) this.#token = token;
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.#closed = true;
    this.#callOff?.();
    for (const waiter of [...this.#waiters]) waiter.refuse(locksClosedError());
    return Promise.resolve();
  }

  // ---- who is in the way ----

  /** `self`: the waiter whose request it is; those behind it do not count. */
  #blocker(request: LockRequest, self: Waiter | undefined): Blocker | undefined {
    for (const wanted of request.keys) {
      const blocker = this.#holder(wanted, request.owner) ?? this.#earlier(wanted, request.owner, self);
      if (blocker) return blocker;
    }
    return undefined;
  }

  /** Expired holders count until #expire() has seen them, so that it knows for whom they made room. */
  #holder(wanted: KeyRequest, owner: Owner): Blocker | undefined {
    if (this.#held.size === 0) return undefined;
    return this.#locksAround(wanted.key).find((lock) => !sameOwner(lock, owner) && conflict(lock, wanted));
  }

  /** Somebody who asked before and waits for what is in conflict with it. */
  #earlier(wanted: KeyRequest, owner: Owner, self: Waiter | undefined): Blocker | undefined {
    if (this.#waiters.size === 0 || this.#holdsAlready(wanted, owner)) return undefined;
    const anywhere = this.#directories > 0 || isDirectory(wanted.key);
    const queue = anywhere ? this.#waiters : this.#queues.get(wanted.key);
    for (const waiter of queue ?? []) {
      if (waiter === self) return undefined;
      const key = waiter.request.keys.find((other) => conflict(other, wanted));
      if (key) return { ...waiter.request.owner, key: key.key };
    }
    return undefined;
  }

  // To queue behind those who wait for what one holds would never end.
  #holdsAlready(wanted: KeyRequest, owner: Owner): boolean {
    const now = this.#clock.now();
    return this.#locksAround(wanted.key).some((lock) => sameOwner(lock, owner) && lock.expiresAt > now);
  }

  #locksAround(key: string): Held[] {
    const exact = this.#held.get(key) ?? [];
    if (this.#directories === 0 && !isDirectory(key)) return [...exact];
    if (isDirectory(key)) return [...this.#held.values()].flat().filter((lock) => overlap(lock.key, key));
    return [...exact, ...directoriesOf(key).flatMap((directory) => this.#held.get(directory) ?? [])];
  }

  // ---- granting ----

  #grant(request: LockRequest): Grant {
    const now = this.#clock.now();
    const tokens = new Map<string, bigint>();
    for (const wanted of request.keys) tokens.set(wanted.key, this.#hold(wanted, request, now));
    if (this.#waiters.size > 0) this.#watch();
    return { owner: request.owner, tokens, ttlMs: request.ttlMs, grantedAt: now };
  }

  #hold({ key, mode }: KeyRequest, { owner, ttlMs }: LockRequest, now: number): bigint {
    const locks = this.#held.get(key);
    const own = locks?.find((lock) => sameOwner(lock, owner));
    if (own && own.expiresAt > now) {
      own.holds++;
      own.expiresAt = Math.max(own.expiresAt, now + ttlMs);
      if (mode === 'exclusive') own.mode = mode;
      return own.token;
    }
    if (own) this.#lose(own);
    this.#token++;
    const lock: Held = {
      key,
      mode,
      token: this.#token,
      agentId: owner.agentId,
      sessionId: owner.sessionId,
      since: now,
      expiresAt: now + ttlMs,
      holds: 1,
    };
    const others = this.#held.get(key);
    if (others) others.push(lock);
    else this.#held.set(key, [lock]);
    if (isDirectory(key)) this.#directories++;
    return lock.token;
  }

  #own({ tokens, owner }: Pick<Grant, 'tokens'> & { owner?: Owner }): Held[] {
    const now = this.#clock.now();
    const found: Held[] = [];
    for (const [key, token] of tokens) {
      const lock = this.#held.get(key)?.find((held) => held.token === token);
      const theirs = lock && (owner === undefined || lock.agentId === owner.agentId);
      if (theirs && lock.expiresAt > now) found.push(lock);
    }
    return found;
  }

  #drop(lock: Held): void {
    const locks = this.#held.get(lock.key) ?? [];
    if (locks.length === 1) this.#held.delete(lock.key);
    else locks.splice(locks.indexOf(lock), 1);
    if (isDirectory(lock.key)) this.#directories--;
  }

  #lose(lock: Held): void {
    this.#drop(lock);
    this.events?.expired(lock);
  }

  // ---- waiting ----

  #wait(request: LockRequest, limit: WaitLimit): Promise<Outcome> {
    const { signal } = limit;
    return new Promise((resolve, reject) => {
      const leave = () => {
        callOff();
        signal?.removeEventListener('abort', abort);
        this.#forget(waiter);
      };
      const waiter: Waiter = {
        request,
        grant: (grant) => {
          leave();
          resolve({ grant });
        },
        refuse: (error) => {
          leave();
          reject(error);
          this.#admit(request.keys.map(({ key }) => key));
        },
      };
      const abort = () => waiter.refuse(lockCancelledError(signal?.reason));
      const callOff = this.#clock.after(limit.maxWaitMs, () => this.#timeOut(waiter, leave, resolve), true);
      if (signal?.aborted) {
        callOff();
        reject(lockCancelledError(signal.reason));
        return;
      }
      signal?.addEventListener('abort', abort, { once: true });
      this.#remember(waiter);
      this.#watch();
    });
  }

  #timeOut(waiter: Waiter, leave: () => void, resolve: (outcome: Outcome) => void): void {
    const blocker = this.#blocker(waiter.request, waiter);
    leave();
    if (blocker) resolve({ blocker });
    else resolve({ grant: this.#grant(waiter.request) });
    this.#admit(waiter.request.keys.map(({ key }) => key));
  }

  #remember(waiter: Waiter): void {
    this.#waiters.add(waiter);
    for (const { key } of waiter.request.keys) {
      const queue = this.#queues.get(key) ?? new Set();
      this.#queues.set(key, queue.add(waiter));
      if (isDirectory(key)) this.#directories++;
    }
  }

  #forget(waiter: Waiter): void {
    if (!this.#waiters.delete(waiter)) return;
    for (const { key } of waiter.request.keys) {
      const queue = this.#queues.get(key);
      queue?.delete(waiter);
      if (queue?.size === 0) this.#queues.delete(key);
      if (isDirectory(key)) this.#directories--;
    }
  }

  /** Grants what has become free of these keys, to whoever is first; false when there are none. */
  #admit(keys: readonly string[]): boolean {
    // A directory that has just gone made room for keys of other names.
    const anywhere = this.#directories > 0 || keys.some(isDirectory);
    // Who is granted one key may have waited a second time for another of them.
    for (let freed = keys; freed.length > 0 && this.#waiters.size > 0; ) {
      const granted = anywhere
        ? this.#admitFrom(this.#waiters)
        : freed.flatMap((key) => this.#admitFrom(this.#queues.get(key) ?? [], key));
      freed = granted.flatMap((request) => request.keys.map(({ key }) => key));
    }
    this.#watch();
    return keys.length > 0;
  }

  #admitFrom(queue: Iterable<Waiter>, key?: string): LockRequest[] {
    const granted: LockRequest[] = [];
    let passing: readonly Held[] | undefined;
    for (const waiter of queue) {
      const { request } = waiter;
      if (passing && !passing.some((lock) => sameOwner(lock, request.owner))) continue;
      if (!this.#blocker(request, waiter)) {
        waiter.grant(this.#grant(request));
        granted.push(request);
      } else if (key && request.keys.some((wanted) => wanted.key === key && wanted.mode === 'exclusive')) {
        // Everybody behind waits for it, but for those who hold the key.
        passing ??= this.#locksAround(key);
      }
    }
    return granted;
  }

  /** While somebody waits: wakes when the next lease expires. */
  #watch(): void {
    if (this.#waiters.size === 0 || this.#closed) {
      this.#stopWatching();
      return;
    }
    let next = Number.POSITIVE_INFINITY;
    for (const locks of this.#held.values()) for (const lock of locks) next = Math.min(next, lock.expiresAt);
    if (next === this.#wakeAt) return;
    this.#stopWatching();
    if (next === Number.POSITIVE_INFINITY) return;
    this.#wakeAt = next;
    this.#callOff = this.#clock.after(next - this.#clock.now(), () => {
      this.#stopWatching();
      this.#admit(this.#expire());
    });
  }

  #stopWatching(): void {
    this.#callOff?.();
    this.#callOff = undefined;
    this.#wakeAt = Number.POSITIVE_INFINITY;
  }

  /** Keys that nobody asks for again would stay for good. */
  #sweep(): void {
    this.#admit(this.#expire());
    this.#sweepAt = Math.max(leastSweep, 2 * this.#held.size);
  }

  /** Drops what has expired; returns its keys. */
  #expire(): string[] {
    const now = this.#clock.now();
    const expired = [...this.#held.values()].flat().filter((lock) => lock.expiresAt <= now);
    for (const lock of expired) this.#lose(lock);
    return expired.map((lock) => lock.key);
  }
}
