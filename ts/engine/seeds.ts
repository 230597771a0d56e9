/** Seeds of the requests that name none. Main thread only. */
import { createHash, randomInt } from 'node:crypto';

export class Seeds {
  #seed: number | undefined;
  #taken = 0;

  /** From now on the n-th seed depends on this one and n alone; undefined: on chance. */
  set(seed: number | undefined): void {
    this.#seed = seed;
    this.#taken = 0;
  }

  /** A whole number below 2^48. */
  next(): number {
    if (this.#seed === undefined) return randomInt(2 ** 48 - 1);
    this.#taken++;
    return createHash('sha256').update(`${this.#seed}:${this.#taken}`).digest().readUIntBE(0, 6);
  }
}
