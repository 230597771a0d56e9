/** Waiting for something that may happen any number of times. */

/** One wait. */
export interface Wait {
  /** Resolves when it has happened, or the signal has come. */
  readonly told: Promise<void>;
  /** Nobody waits any more. */
  end(): void;
}

/** Wakes all who wait for one thing. */
export class Bell {
  readonly #waiting = new Set<() => void>();

  ring(): void {
    for (const wake of [...this.#waiting]) wake();
  }

  get isHeard(): boolean {
    return this.#waiting.size > 0;
  }

  /** Until it rings next or the signal comes. Whoever looked before, in the same step, misses nothing. */
  wait(signal: AbortSignal): Promise<void> {
    return this.listen(signal).told;
  }

  /** The same, for whoever may not need to wait after all. */
  listen(signal: AbortSignal): Wait {
    if (signal.aborted) return { told: Promise.resolve(), end: () => undefined };
    let end = (): void => undefined;
    const told = new Promise<void>((resolve) => {
      end = () => {
        signal.removeEventListener('abort', end);
        this.#waiting.delete(end);
        resolve();
      };
      signal.addEventListener('abort', end, { once: true });
      this.#waiting.add(end);
    });
    return { told, end };
  }
}

/** A bell for each name that somebody waits for. */
export class Bells {
  readonly #bells = new Map<string, Bell>();

  listen(name: string, signal: AbortSignal): Wait {
    const bell = this.#bells.get(name) ?? new Bell();
    this.#bells.set(name, bell);
    const { told, end } = bell.listen(signal);
    return {
      told,
      end: () => {
        end();
        // Another one may have taken its place.
        if (!bell.isHeard && this.#bells.get(name) === bell) this.#bells.delete(name);
      },
    };
  }

  ring(name: string): void {
    this.#bells.get(name)?.ring();
  }

  ringAll(): void {
    for (const bell of this.#bells.values()) bell.ring();
  }
}
