/** Those who wait for something with a name, until it is told that it may have changed. */

/** One wait. */
export interface Wait {
  /** Resolves when it is told, or the signal is aborted. */
  readonly told: Promise<void>;
  /** Nobody waits any more. */
  end(): void;
}

export class WakeUps {
  readonly #waiting = new Map<string, Set<() => void>>();

  wait(name: string, signal: AbortSignal): Wait {
    let end = (): void => undefined;
    const told = new Promise<void>((resolve) => {
      const waiting = this.#waiting.get(name) ?? new Set();
      this.#waiting.set(name, waiting);
      end = () => {
        signal.removeEventListener('abort', end);
        waiting.delete(end);
        if (waiting.size === 0) this.#waiting.delete(name);
        resolve();
      };
      signal.addEventListener('abort', end, { once: true });
      waiting.add(end);
    });
    return { told, end };
  }

  tell(name: string): void {
    for (const end of [...(this.#waiting.get(name) ?? [])]) end();
  }

  tellAll(): void {
    for (const name of [...this.#waiting.keys()]) this.tell(name);
  }
}
