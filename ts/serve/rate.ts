/** Events per second over a short past. Main thread only; the clock is the caller's. */

const WINDOW_SECONDS = 10;

export class RateWindow {
  readonly #now: () => number;
  /** Count per second, at second modulo the window. */
  readonly #counts = new Float64Array(WINDOW_SECONDS);
  #second: number;

  /** @param now milliseconds, never going back. */
  constructor(now: () => number) {
    this.#now = now;
    this.#second = Math.floor(now() / 1000);
  }

  add(count: number): void {
    const slot = this.#advance() % WINDOW_SECONDS;
    this.#counts[slot] = (this.#counts[slot] ?? 0) + count;
  }

  perSecond(): number {
    this.#advance();
    return this.#counts.reduce((sum, count) => sum + count, 0) / WINDOW_SECONDS;
  }

  /** Forgets the seconds that have left the window. */
  #advance(): number {
    const second = Math.floor(this.#now() / 1000);
    const passed = Math.min(second - this.#second, WINDOW_SECONDS);
    for (let i = 1; i <= passed; i++) this.#counts[(this.#second + i) % WINDOW_SECONDS] = 0;
    this.#second = second;
    return second;
  }
}
