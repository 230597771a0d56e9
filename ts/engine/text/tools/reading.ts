/**
 * What parsers of answers read and write. A parser is a coroutine: it takes one unit of the answer after the other
 * and writes what it has understood, so that it cannot matter in which pieces the answer arrives.
 */

/** A token of the vocabulary that stands for itself, not for the characters of its name. */
export interface Marker {
  readonly marker: string;
  /** It is no text where nothing looks for it. */
  readonly special: boolean;
}

/** Nothing more comes. `stop`: the model has ended its answer; `cut`: it would have gone on. */
export interface End {
  readonly end: 'stop' | 'cut';
}

/** One UTF-16 unit of text, a marker, or the end. */
export type Unit = string | Marker | End;

/** A coroutine that takes units. */
export type Parse<T = void> = Generator<undefined, T, Unit>;

export type AnswerEvent =
  /** `end`: offset in the raw answer behind this text, which stands there as it is. */
  | { type: 'text'; text: string; end: number }
  | { type: 'reasoning'; text: string }
  | { type: 'call'; name: string }
  /** The next piece of the arguments of the last call. */
  | { type: 'arguments'; text: string };

/** How a unit stands in the raw answer. */
export function rawOf(unit: Unit): string {
  if (typeof unit === 'string') return unit;
  return 'marker' in unit ? unit.marker : '';
}

export function isEnd(unit: unknown): unit is End {
  return typeof unit === 'object' && unit !== null && 'end' in unit;
}

export function isMarker(unit: Unit, marker: string): boolean {
  return typeof unit === 'object' && 'marker' in unit && unit.marker === marker;
}

export class Reading {
  #events: AnswerEvent[] = [];
  readonly #returned: Unit[] = [];
  #record = '';
  #taken = 0;
  #decided = 0;
  #calls = 0;
  #finished = false;

  /** Raw characters that are written or dropped for good. */
  get decided(): number {
    return this.#decided;
  }

  /** Calls begun so far. */
  get calls(): number {
    return this.#calls;
  }

  /** The answer is complete, though the model may not know. */
  get finished(): boolean {
    return this.#finished;
  }

  *take(): Parse<Unit> {
    const unit = this.#returned.pop() ?? (yield);
    const raw = rawOf(unit);
    this.#taken += raw.length;
    this.#record += raw;
    return unit;
  }

  /** The next `take` gives this unit again. */
  back(unit: Unit): void {
    this.#returned.push(unit);
    const { length } = rawOf(unit);
    this.#taken -= length;
    this.#record = this.#record.slice(0, this.#record.length - length);
  }

  /** From here on, what is taken is remembered as it was written; it begins with `taken`. */
  startRecord(taken = ''): void {
    this.#record = taken;
  }

  get record(): string {
    return this.#record;
  }

  /** @param held raw characters at the end of what was taken that are neither in the text nor decided. */
  text(text: string, held = 0): void {
    this.#settle(held);
    const last = this.#events.at(-1);
    if (last?.type === 'text') Object.assign(last, { text: last.text + text, end: this.#decided });
    else if (text !== '') this.#events.push({ type: 'text', text, end: this.#decided });
  }

  reasoning(text: string, held = 0): void {
    this.#settle(held);
    this.#join('reasoning', text);
  }

  call(name: string): void {
    this.#settle(0);
    this.#calls++;
    this.#events.push({ type: 'call', name });
  }

  arguments(text: string): void {
    this.#settle(0);
    this.#join('arguments', text);
  }

  /** All that was taken belongs to nothing that is shown. */
  drop(): void {
    this.#settle(0);
  }

  finish(): void {
    this.#settle(0);
    this.#finished = true;
  }

  takeEvents(): AnswerEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }

  #settle(held: number): void {
    this.#decided = this.#taken - held;
  }

  #join(type: 'reasoning' | 'arguments', text: string): void {
    const last = this.#events.at(-1);
    if (last?.type === type) last.text += text;
    else if (text !== '') this.#events.push({ type, text });
  }
}

export function isSpace(unit: Unit): unit is string {
  return unit === ' ' || unit === '\n' || unit === '\r' || unit === '\t';
}

/** Takes white space. Returns the unit behind it, taken as well. */
export function* afterSpace(reading: Reading): Parse<Unit> {
  for (;;) {
    const unit = yield* reading.take();
    if (!isSpace(unit)) return unit;
  }
}
