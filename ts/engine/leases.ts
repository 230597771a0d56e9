/** Who uses an engine, so that it is not closed under anybody. Main thread only. */

/** The right to use an engine until it is released. */
export interface Lease<E> {
  /** Stays open until the lease is released, or its time is up. */
  readonly engine: E;
  /** Aborted, with the reason, when the engine has to go before the work on it is done. */
  readonly signal: AbortSignal;
  /** May be called again. */
  release(): void;
}

/** An engine and the leases on it. */
export class Leased<E> {
  readonly engine: E;
  readonly #onIdle: () => void;
  readonly #held = new Set<AbortController>();
  readonly #waiting: (() => void)[] = [];

  /** @param onIdle called whenever the last lease is released */
  constructor(engine: E, onIdle: () => void) {
    this.engine = engine;
    this.#onIdle = onIdle;
  }

  get count(): number {
    return this.#held.size;
  }

  take(): Lease<E> {
    const holder = new AbortController();
    this.#held.add(holder);
    return { engine: this.engine, signal: holder.signal, release: () => this.#release(holder) };
  }

  /** Tells every holder to stop. @returns how many there were */
  cancel(reason: unknown): number {
    const holders = [...this.#held];
    for (const holder of holders) holder.abort(reason);
    return holders.length;
  }

  /** Resolves when nobody holds a lease, at once if nobody does. */
  idle(): Promise<void> {
    return this.count === 0 ? Promise.resolve() : new Promise((resolve) => this.#waiting.push(resolve));
  }

  #release(holder: AbortController): void {
    if (!this.#held.delete(holder) || this.count > 0) return;
    for (const resolve of this.#waiting.splice(0)) resolve();
    this.#onIdle();
  }
}
