/** Buses on one database, each as another process would have it. */
import type { ClutchEvent, EmittedEvent } from '../../../ts/clutch/events/event.js';
import { EventBus, type EventBusOptions } from '../../../ts/clutch/events/event-bus.js';
import { clutchMigrations } from '../../../ts/clutch/store/schema.js';
import { wallClock } from '../../../ts/storage/wall-clock.js';
import type { TestDatabase } from '../../servers/databases.js';
import { FlakyStorage } from './flaky-storage.js';

export const noSignal = new AbortController().signal;

export interface OpenBus {
  readonly bus: EventBus;
  readonly storage: FlakyStorage;
}

export class EventBusRig {
  readonly warnings: unknown[] = [];
  readonly #database: TestDatabase;
  readonly #buses: EventBus[] = [];

  constructor(database: TestDatabase) {
    this.#database = database;
  }

  async storage(): Promise<FlakyStorage> {
    const storage = new FlakyStorage(await this.#database.connect());
    await storage.migrate(clutchMigrations);
    return storage;
  }

  async open(options: Partial<EventBusOptions> = {}): Promise<OpenBus> {
    const storage = await this.storage();
    const bus = this.bus(storage, options);
    await bus.started();
    return { bus, storage };
  }

  bus(storage: FlakyStorage, options: Partial<EventBusOptions> = {}): EventBus {
    const onWarning = (error: unknown) => this.warnings.push(error);
    const bus = new EventBus({
      storage,
      clock: wallClock(storage),
      retryMs: 5,
      graceMs: 50,
      onWarning,
      ...options,
    });
    this.#buses.push(bus);
    return bus;
  }

  async close(): Promise<void> {
    for (const bus of this.#buses) await bus.close();
    await this.#database.close();
  }
}

/** More of what a model says. */
export function said(text: string, run = 'run1'): EmittedEvent<'text'> {
  return { type: 'text', run_id: run, body: { text, reasoning: '' } };
}

export function textOf(event: ClutchEvent): string {
  return event.type === 'text' ? event.body.text : '';
}

/** The next so many, as one that follows gets them. */
export async function take(bus: EventBus, after: number, count: number): Promise<ClutchEvent[]> {
  const found: ClutchEvent[] = [];
  if (count === 0) return found;
  for await (const event of bus.follow(after, noSignal)) {
    found.push(event);
    if (found.length === count) break;
  }
  return found;
}

export function numbers(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}
