/**
 * The way in: any number of producers put events into a queue, one writer takes it away as a whole and records it.
 * Producers wait only where the queue is full.
 */
import { randomUUID } from 'node:crypto';
import { StompError } from '../../errors.js';
import { loopTurn } from '../../loop-turn.js';
import type { Storage, Work } from '../../storage/storage.js';
import type { WallClock } from '../../storage/wall-clock.js';
import { forgetBus, noteBatch, recordEvents } from '../store/events.js';
import { type Patience, patiently } from '../store/patience.js';
import type { EmittedEvent } from './event.js';

export interface EventWriterOptions {
  readonly storage: Storage;
  readonly clock: WallClock;
  /** Events that wait at most. */
  readonly capacity: number;
  /** Its signal says that what is not recorded by then is given up. */
  readonly patience: Patience;
  /** Awaited before the first is recorded. */
  readonly ready: () => Promise<void>;
  /** Awaited after each time that the queue is worked off; must not throw. */
  readonly afterwards: () => Promise<void>;
}

interface Waiting {
  readonly event: EmittedEvent;
  /** By the clock of this process. */
  readonly since: number;
}

interface Blocked extends Waiting {
  readonly accept: () => void;
  readonly refuse: (error: StompError) => void;
}

/** Events of one transaction: others wait for its end, and so does everything else in this process. */
const mostAtOnce = 256;

export class EventWriter {
  readonly #options: EventWriterOptions;
  readonly #id = randomUUID();
  #queue: Waiting[] = [];
  #blocked: Blocked[] = [];
  /** Accepted, and neither recorded nor given up. */
  #depth = 0;
  /** How many were ever put in, and how many of them, from the first on, need no more work. */
  #count = 0;
  #settled = 0;
  #marks: { readonly count: number; readonly reach: () => void }[] = [];
  #batch = 0;
  #lost = 0;
  #isAtWork = false;
  #isClosed = false;

  constructor(options: EventWriterOptions) {
    this.#options = options;
    options.patience.signal.addEventListener('abort', () => this.#refuseBlocked(), { once: true });
  }

  get depth(): number {
    return this.#depth;
  }

  /**
   * Resolves when it is accepted: at once, or when there is room. Calls are served in their order.
   * @throws StompError SHUTTING_DOWN
   */
  add(event: EmittedEvent): Promise<void> {
    if (this.#isClosed) return Promise.reject(shuttingDown());
    this.#count++;
    const waiting = { event, since: performance.now() };
    if (this.#blocked.length === 0 && this.#depth < this.#options.capacity) {
      this.#accept(waiting);
      return Promise.resolve();
    }
    return new Promise((accept, refuse) => this.#blocked.push({ ...waiting, accept, refuse }));
  }

  /** Resolves when all that was put in so far, accepted or not yet, needs no more work. */
  recorded(): Promise<void> {
    if (this.#settled === this.#count) return Promise.resolve();
    return new Promise((reach) => this.#marks.push({ count: this.#count, reach }));
  }

  /** Takes nothing more, and resolves when what was put in is recorded or given up. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.recorded();
    const { storage, patience } = this.#options;
    if (this.#lost > 0) patience.onWarning(lost(this.#lost));
    if (patience.signal.aborted || this.#batch === 0) return;
    // Left behind, it is deleted later on.
    await storage.write(() => forgetBus(this.#id)).catch(patience.onWarning);
  }

  #accept(waiting: Waiting): void {
    this.#depth++;
    this.#queue.push(waiting);
    if (this.#isAtWork) return;
    this.#isAtWork = true;
    void this.#work();
  }

  async #work(): Promise<void> {
    const { ready, afterwards } = this.#options;
    // Where it never comes, nothing can be recorded either, and that is told.
    await ready().catch(() => undefined);
    while (this.#queue.length > 0) {
      const taken = this.#queue;
      this.#queue = [];
      for (let i = 0; i < taken.length; i += mostAtOnce) {
        const part = taken.slice(i, i + mostAtOnce);
        await loopTurn();
        await this.#record(part);
        this.#settle(part.length);
      }
      await afterwards();
    }
    this.#isAtWork = false;
  }

  async #record(part: readonly Waiting[]): Promise<void> {
    const { signal, onWarning } = this.#options.patience;
    try {
      await this.#commit(part);
    } catch (error) {
      const isOver = signal.aborted || (error instanceof StompError && error.code === 'SHUTTING_DOWN');
      if (isOver) {
        this.#lost += part.length;
        return;
      }
      onWarning(notRecorded(part, error));
      // One that cannot be recorded does not take the others with it.
      if (part.length > 1) for (const one of part) await this.#record([one]);
    }
  }

  #commit(part: readonly Waiting[]): Promise<void> {
    const { storage, patience } = this.#options;
    const batch = ++this.#batch;
    return patiently(() => storage.write(() => this.#transaction(part, batch)), patience);
  }

  *#transaction(part: readonly Waiting[], batch: number): Work<void> {
    const { storage, clock } = this.#options;
    const now = yield* clock.now();
    if (!(yield* noteBatch(this.#id, batch, now))) return;
    const here = performance.now();
    // When it happened, by the clock of the database, also when that was away for a while.
    const events = part.map(({ event, since }) => ({ ...event, at: now - Math.floor(here - since) }));
    yield* recordEvents(storage, events);
  }

  #settle(count: number): void {
    this.#depth -= count;
    for (const blocked of this.#blocked.splice(0, Math.max(this.#options.capacity - this.#depth, 0))) {
      this.#accept(blocked);
      blocked.accept();
    }
    this.#reach(count);
  }

  #refuseBlocked(): void {
    const blocked = this.#blocked.splice(0);
    for (const { refuse } of blocked) refuse(shuttingDown());
    this.#reach(blocked.length);
  }

  #reach(count: number): void {
    this.#settled += count;
    const reached = this.#marks.filter((mark) => mark.count <= this.#settled);
    if (reached.length === 0) return;
    this.#marks = this.#marks.filter((mark) => mark.count > this.#settled);
    for (const { reach } of reached) reach();
  }
}

function shuttingDown(): StompError {
  return new StompError('SHUTTING_DOWN', 'The clutch is shutting down; it takes no more events.');
}

function notRecorded(part: readonly Waiting[], cause: unknown): StompError {
  const why = cause instanceof Error ? cause.message : String(cause);
  const [one] = part;
  const what =
    part.length === 1
      ? `The event ${one?.event.type} of the run ${one?.event.run_id}`
      : `${part.length} events`;
  const then = part.length === 1 ? 'It is left out.' : 'They are recorded one by one.';
  return new StompError('INTERNAL_ERROR', `${what} cannot be recorded: ${why}. ${then}`, { cause });
}

function lost(count: number): StompError {
  return new StompError(
    'SHUTTING_DOWN',
    `${count} events were not recorded: the database was away to the end.`,
    {
      fields: { events: count },
    },
  );
}
