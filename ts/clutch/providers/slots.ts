/** How many may ask at a time. Others wait, first come first served. */
import { ended } from './failures.js';

export class Slots {
  readonly #limit: number;
  readonly #waiting: (() => void)[] = [];
  readonly #idle: (() => void)[] = [];
  #taken = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /**
   * @returns gives the slot back; may be called again
   * @throws StompError as `ended` has it, once `signal` is aborted
   */
  async take(signal: AbortSignal): Promise<() => void> {
    if (signal.aborted) throw ended(signal);
    if (this.#taken < this.#limit) this.#taken++;
    else await this.#wait(signal);
    let isHeld = true;
    return () => {
      if (isHeld) this.#giveBack();
      isHeld = false;
    };
  }

  /** Resolves when no slot is taken, at once if none is. */
  idle(): Promise<void> {
    return this.#taken === 0 ? Promise.resolve() : new Promise((resolve) => this.#idle.push(resolve));
  }

  #wait(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const enter = (): void => {
        signal.removeEventListener('abort', leave);
        resolve();
      };
      const leave = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(enter), 1);
        reject(ended(signal));
      };
      signal.addEventListener('abort', leave, { once: true });
      this.#waiting.push(enter);
    });
  }

  /** A slot goes from hand to hand, so that nobody comes between. */
  #giveBack(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#taken--;
    if (this.#taken === 0) for (const resolve of this.#idle.splice(0)) resolve();
  }
}
