/**
 * The way out: reads what is recorded, by whomever and in whatever process, once for all who follow. Those that keep up
 * are served from memory; one that is slow reads for itself what it has missed, a page at a time.
 */
import { checkInteger } from '../../arguments.js';
import { StompError } from '../../errors.js';
import { loopTurn } from '../../loop-turn.js';
import type { Storage } from '../../storage/storage.js';
import { Bell } from '../bell.js';
import { eventChannel, eventsAfter, lastEvent, oldestEvent } from '../store/events.js';
import { type Patience, patiently, pause } from '../store/patience.js';
import type { ClutchEvent } from './event.js';
import { EventRing } from './event-ring.js';

export interface EventTailOptions {
  readonly storage: Storage;
  /** Events in memory. */
  readonly ringSize: number;
  /** Its signal ends everything here. */
  readonly patience: Patience;
  /** Called for each event, in order; must not throw. */
  readonly onEvent: (event: ClutchEvent) => void;
}

/** Events that are read, and held for one follower, at once. */
const pageSize = 200;

export class EventTail {
  readonly #options: EventTailOptions;
  readonly #ring: EventRing;
  /** Something may have been recorded. */
  readonly #told = new Bell();
  /** Something was read. */
  readonly #read = new Bell();
  readonly #start: Promise<() => Promise<void>>;
  readonly #over: Promise<void>;
  #last: number | undefined;
  #wasTold = false;

  constructor(options: EventTailOptions) {
    this.#options = options;
    this.#ring = new EventRing(options.ringSize);
    this.#start = this.#begin();
    this.#over = this.#run();
  }

  /** The number of the last event that was read; 0 before the first. */
  get last(): number {
    return this.#last ?? 0;
  }

  /**
   * From here on nothing that is recorded goes unseen.
   * @throws what the signal gives as its reason
   */
  async started(): Promise<void> {
    await this.#start;
  }

  /**
   * Events after a number, in order, none twice and none missing, until a signal ends it.
   * @throws StompError EVENTS_GONE with the oldest that is kept, when some of them are deleted or were never there;
   *   INVALID_REQUEST
   */
  follow(after: number, signal: AbortSignal): AsyncGenerator<ClutchEvent, void> {
    checkInteger('after', after, 0, { min: 0, max: Number.MAX_SAFE_INTEGER });
    return this.#follow(after, AbortSignal.any([signal, this.#options.patience.signal]));
  }

  /** Resolves when all that is recorded by now was read, or with its signal. @throws StompError SHUTTING_DOWN */
  async caughtUp(): Promise<void> {
    const { storage, patience } = this.#options;
    const last = await patiently(() => storage.read(lastEvent), patience);
    while (this.last < last && !patience.signal.aborted) await this.#read.wait(patience.signal);
  }

  /** Once its signal has come: resolves when nothing more is read. */
  async close(): Promise<void> {
    await this.#over;
    const unlisten = await this.#start.catch(() => undefined);
    await unlisten?.();
  }

  /** Listens first, and looks then. */
  async #begin(): Promise<() => Promise<void>> {
    const { storage, patience } = this.#options;
    const heard = () => {
      this.#wasTold = true;
      this.#told.ring();
    };
    const unlisten = await patiently(() => storage.listen(eventChannel, heard), patience);
    const last = await patiently(() => storage.read(lastEvent), patience).catch(async (error: unknown) => {
      await unlisten();
      throw error;
    });
    this.#ring.begin(last + 1);
    this.#last = last;
    this.#read.ring();
    return unlisten;
  }

  async *#follow(after: number, signal: AbortSignal): AsyncGenerator<ClutchEvent, void> {
    try {
      for await (const page of this.#pages(after, signal))
        for (const event of page) if (!signal.aborted) yield event;
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  async *#pages(after: number, signal: AbortSignal): AsyncGenerator<readonly ClutchEvent[], void> {
    while (this.#last === undefined && !signal.aborted) await this.#read.wait(signal);
    if (after > this.last) await this.#checkKnown(after, signal);
    for (let seq = after; !signal.aborted; ) {
      if (seq >= this.last) await this.#read.wait(signal);
      const page = await this.#page(seq, signal);
      yield page;
      seq += page.length;
    }
  }

  async #run(): Promise<void> {
    const { signal } = this.#options.patience;
    await this.#start.catch((error: unknown) => this.#failed(error));
    while (!signal.aborted && this.#last !== undefined) {
      try {
        await this.#next();
      } catch (error) {
        if (!(await this.#failed(error))) return;
      }
    }
  }

  /** @returns whether to go on, after a while */
  async #failed(error: unknown): Promise<boolean> {
    const { signal, onWarning, retryMs } = this.#options.patience;
    if (signal.aborted) return false;
    onWarning(error);
    // Nothing is read any more from a storage that is closed.
    if (error instanceof StompError && error.code === 'SHUTTING_DOWN') return false;
    await pause(retryMs, signal);
    return true;
  }

  async #next(): Promise<void> {
    const { storage, patience } = this.#options;
    await loopTurn();
    this.#wasTold = false;
    const page = await patiently(() => storage.read(() => eventsAfter(this.last, pageSize)), patience);
    this.#take(page);
    if (page.length < pageSize && !this.#wasTold) await this.#told.wait(patience.signal);
  }

  #take(page: readonly ClutchEvent[]): void {
    const { onEvent, patience } = this.#options;
    const [first] = page;
    if (!first) return;
    if (first.seq !== this.last + 1)
      patience.onWarning(gone(this.last, { oldest: first.seq, last: first.seq }));
    for (const event of page) {
      this.#ring.push(event);
      this.#last = event.seq;
      onEvent(event);
    }
    this.#read.ring();
  }

  async #page(seq: number, signal: AbortSignal): Promise<readonly ClutchEvent[]> {
    if (seq >= this.last) return [];
    const held = this.#ring.after(seq, pageSize);
    if (held) return held;
    const { storage, patience } = this.#options;
    const page = await patiently(() => storage.read(() => eventsAfter(seq, pageSize)), {
      ...patience,
      signal,
    });
    const oldest = page[0]?.seq ?? this.last + 1;
    if (oldest !== seq + 1) throw gone(seq, { oldest, last: this.last });
    return page;
  }

  /** Whoever was in touch with another process may know more than was read here, but not more than there is. */
  async #checkKnown(after: number, signal: AbortSignal): Promise<void> {
    const { storage, patience } = this.#options;
    const known = await patiently(
      () =>
        storage.read(function* () {
          return { oldest: yield* oldestEvent(), last: yield* lastEvent() };
        }),
      { ...patience, signal },
    );
    if (after > known.last) throw gone(after, known);
  }
}

function gone(after: number, known: { oldest: number; last: number }): StompError {
  const message =
    after > known.last
      ? `There is no event ${after} yet; the last one is ${known.last}. Begin with the state as it is now.`
      : `Events after ${after} are deleted; the oldest that is kept is ${known.oldest}. Begin with the state as it is now.`;
  return new StompError('EVENTS_GONE', message, { fields: { after, ...known } });
}
