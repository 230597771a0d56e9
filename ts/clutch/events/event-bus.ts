/**
 * The way in and the way out of all that happens. Whoever emits waits for nobody, except for room; whoever follows gets
 * each event once, in one order for all processes that share the storage.
 */
import { checkInteger } from '../../arguments.js';
import { StompError } from '../../errors.js';
import type { Storage } from '../../storage/storage.js';
import type { WallClock } from '../../storage/wall-clock.js';
import { oldestEvent } from '../store/events.js';
import type { Patience } from '../store/patience.js';
import type { ClutchEvent, EmittedEvent, EventType } from './event.js';
import { checkEvent } from './event-shapes.js';
import { EventTail } from './event-tail.js';
import { EventWriter } from './event-writer.js';
import { Retention } from './retention.js';

export interface EventBusOptions {
  /** Migrated already. */
  readonly storage: Storage;
  readonly clock: WallClock;
  /** Events that wait to be recorded; whoever emits more waits for room. @default 10,000 */
  readonly capacity?: number | undefined;
  /** Events in memory, for those that follow. @default 10,000 */
  readonly ringSize?: number | undefined;
  /** Events that stay in storage, up to a tenth more. @default 100,000 */
  readonly keep?: number | undefined;
  /** Between two tries while the storage is away. @default 1000 */
  readonly retryMs?: number | undefined;
  /** How long `close` goes on trying to record what waits. @default 5000 */
  readonly graceMs?: number | undefined;
  /** Failures with no caller to reject, and what listeners throw. */
  readonly onWarning: (error: unknown) => void;
}

export type EventListener<T extends EventType | '*'> = (
  event: ClutchEvent<T extends EventType ? T : EventType>,
) => unknown;

const most = 10_000_000;
const longestMs = 2 ** 31 - 1;

export class EventBus {
  readonly #storage: Storage;
  readonly #graceMs: number;
  readonly #over = new AbortController();
  readonly #tail: EventTail;
  readonly #writer: EventWriter;
  readonly #warn: (error: unknown) => void;
  readonly #listeners = new Map<EventType | '*', Set<EventListener<'*'>>>();
  #closing: Promise<void> | undefined;

  /** @throws StompError INVALID_REQUEST */
  constructor(options: EventBusOptions) {
    const { storage, clock } = options;
    const count = (field: 'capacity' | 'ringSize' | 'keep', fallback: number) =>
      checkInteger(field, options[field], fallback, { min: 1, max: most });
    this.#storage = storage;
    this.#graceMs = checkInteger('graceMs', options.graceMs, 5000, { min: 0, max: longestMs });
    this.#warn = warner(options.onWarning);
    const patience: Patience = {
      signal: this.#over.signal,
      retryMs: checkInteger('retryMs', options.retryMs, 1000, { min: 1, max: longestMs }),
      onWarning: this.#warn,
    };
    const retention = new Retention({
      storage,
      clock,
      keep: count('keep', 100_000),
      onWarning: this.#warn,
    });
    this.#tail = new EventTail({
      storage,
      ringSize: count('ringSize', 10_000),
      patience,
      onEvent: (event) => this.#tell(event),
    });
    this.#writer = new EventWriter({
      storage,
      clock,
      capacity: count('capacity', 10_000),
      patience,
      ready: () => this.#tail.started(),
      afterwards: () => retention.look(this.#tail.last),
    });
  }

  /**
   * Resolves when it listens: what is recorded from then on, by whomever, reaches the listeners. What this bus records
   * reaches them anyway.
   * @throws StompError SHUTTING_DOWN
   */
  started(): Promise<void> {
    return this.#tail.started();
  }

  /** The number of the last event seen, from wherever it came; 0 before the first. */
  get last(): number {
    return this.#tail.last;
  }

  /** Events that are accepted and not recorded yet. */
  get depth(): number {
    return this.#writer.depth;
  }

  /**
   * Resolves when it is accepted, which is at once unless too many wait; it is recorded soon. Calls made one after the
   * other keep their order. The body is not to be changed afterwards.
   * @throws StompError INVALID_REQUEST, SHUTTING_DOWN
   */
  async emit(event: EmittedEvent): Promise<void> {
    checkEvent(event);
    await this.#writer.add(event);
  }

  /** Resolves when all that was emitted so far is in storage, except what `onWarning` was told of. */
  recorded(): Promise<void> {
    return this.#writer.recorded();
  }

  /**
   * All events after a number, in order, none twice and none missing, as they are recorded; ends with the signal or the
   * bus. Whoever is slow holds up nobody else.
   * @throws StompError EVENTS_GONE with `oldest` and `last`, when some of them are deleted or were never there;
   *   INVALID_REQUEST
   */
  follow(after: number, signal: AbortSignal): AsyncGenerator<ClutchEvent, void> {
    return this.#tail.follow(after, signal);
  }

  /**
   * Calls for every event of a type, or of all, in order, once it is recorded. What is thrown goes to `onWarning`, and
   * nobody waits for what is returned.
   * @returns what ends it
   */
  on<T extends EventType | '*'>(type: T, listener: EventListener<T>): () => void {
    const listeners = this.#listeners.get(type) ?? new Set();
    // One that is given twice is called twice.
    const call: EventListener<'*'> = (event) => listener(event as Parameters<EventListener<T>>[0]);
    this.#listeners.set(type, listeners.add(call));
    return () => listeners.delete(call);
  }

  /** The lowest number that is kept; where none is, that of the next event. @throws StompError DB_BUSY */
  oldest(): Promise<number> {
    return this.#storage.read(oldestEvent);
  }

  /** Takes nothing more, records what waits, and ends all that follow. May be called again. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const reason = new StompError('SHUTTING_DOWN', 'The bus is closed.');
    const giveUp = setTimeout(() => this.#over.abort(reason), this.#graceMs);
    await this.#writer.close();
    clearTimeout(giveUp);
    this.#over.abort(reason);
    await this.#tail.close();
  }

  #tell(event: ClutchEvent): void {
    for (const type of [event.type, '*'] as const)
      for (const listener of [...(this.#listeners.get(type) ?? [])]) {
        try {
          const result = listener(event);
          if (result instanceof Promise) result.catch(this.#warn);
        } catch (error) {
          this.#warn(error);
        }
      }
  }
}

/** What it is told must not stop what goes on here. */
function warner(onWarning: (error: unknown) => void): (error: unknown) => void {
  return (error) => {
    try {
      onWarning(error);
    } catch (failure) {
      process.emitWarning(failure instanceof Error ? failure : String(failure));
    }
  };
}
