/** How long a call still waits for others: one deadline for all that it waits for. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Cut } from './cut.js';

const firstPauseMs = 2;
const longestPauseMs = 50;
// Timers are late: the last try is made this much before the deadline, to be answered by then.
const spareMs = 5;

export class Patience {
  readonly #deadline: number; // of performance.now()
  #pauseMs = firstPauseMs;

  /** @param waitMs from now; below 0 when it has run out. */
  constructor(waitMs: number) {
    this.#deadline = performance.now() + waitMs;
  }

  get leftMs(): number {
    return Math.max(0, this.#deadline - performance.now());
  }

  /** The same with more time: the caller's own work, which is no waiting. */
  extendedBy(ms: number): Patience {
    return new Patience(this.#deadline + ms - performance.now());
  }

  /**
   * Waits a while, longer each time and never twice the same, so that those who collided do not collide again.
   * @returns false, at once, when there is no time for another try.
   * @throws why the call was cut
   */
  async pause(cut: Cut): Promise<boolean> {
    const ms = Math.min(this.#pauseMs * (0.5 + Math.random()), this.leftMs - spareMs);
    if (ms <= 0) return false;
    this.#pauseMs = Math.min(2 * this.#pauseMs, longestPauseMs);
    await sleep(ms, undefined, { signal: cut.signal }).catch(() => cut.check());
    return true;
  }
}

/** @throws what `late` makes after so many milliseconds, or why the call was cut; the work may then still be going on. */
export function inTime<T>(work: Promise<T>, ms: number, cut: Cut, late: () => Error): Promise<T> {
  return cut.race(limited(work, ms, late));
}

/** The same for what no call waits for. */
export function within<T>(ms: number, work: Promise<T>): Promise<T> {
  return limited(work, ms, () => new Error(`There was no answer in ${ms} ms.`));
}

function limited<T>(work: Promise<T>, ms: number, late: () => Error): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = setTimeout(() => reject(late()), ms);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
