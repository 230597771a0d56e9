/** So many at once, the others in the order in which they came. */
import type { Cut } from './cut.js';
import type { Patience } from './patience.js';

export class Slots {
  #free: number;
  readonly #waiting = new Set<() => void>();

  constructor(atOnce: number) {
    this.#free = atOnce;
  }

  /**
   * @returns whether the caller has a slot now, which `give` frees; false when its patience is over.
   * @throws why the call was cut
   */
  async take(patience: Patience, cut: Cut): Promise<boolean> {
    cut.check();
    if (this.#free > 0) {
      this.#free--;
      return true;
    }
    return new Promise((resolve, reject) => {
      const leave = () => {
        this.#waiting.delete(mine);
        clearTimeout(timer);
        cut.signal.removeEventListener('abort', stop);
      };
      const mine = () => {
        leave();
        resolve(true);
      };
      const stop = () => {
        leave();
        reject(cut.signal.reason);
      };
      const late = () => {
        leave();
        resolve(false);
      };
      const timer = setTimeout(late, patience.leftMs);
      cut.signal.addEventListener('abort', stop);
      this.#waiting.add(mine);
    });
  }

  give(): void {
    const [next] = this.#waiting;
    if (next) next();
    else this.#free++;
  }
}
