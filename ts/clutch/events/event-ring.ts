/** The last events, in memory: whoever follows closely needs no database. */
import type { ClutchEvent } from './event.js';

export class EventRing {
  readonly #events: ClutchEvent[] = [];
  readonly #size: number;
  /** Numbers of the first that is held and of the one after the last: between them there are no gaps. */
  #first = 1;
  #end = 1;

  /** @param size so many events are held at most */
  constructor(size: number) {
    this.#size = size;
  }

  /** From here on. @param next the number of the first that comes */
  begin(next: number): void {
    this.#first = next;
    this.#end = next;
  }

  /** One that is not the next of those held replaces them all. */
  push(event: ClutchEvent): void {
    if (event.seq !== this.#end) this.begin(event.seq);
    this.#events[event.seq % this.#size] = event;
    this.#end = event.seq + 1;
    this.#first = Math.max(this.#first, this.#end - this.#size);
  }

  /** Those after a number, in order; undefined when some of them are not held any more. */
  after(seq: number, limit: number): ClutchEvent[] | undefined {
    if (seq + 1 < this.#first) return undefined;
    const found: ClutchEvent[] = [];
    const end = Math.min(this.#end, seq + 1 + limit);
    for (let next = seq + 1; next < end; next++) {
      const event = this.#events[next % this.#size];
      if (event) found.push(event);
    }
    return found;
  }
}
