/**
 * Work in order of arrival within a lane, side by side between lanes. A lane is an agent. Work that needs
 * two lanes (a fork) enters both at once, so that no two pieces can wait for each other. Main thread only.
 */
export class Lanes {
  /** The end of each lane that has work; settles, never rejects. */
  readonly #tails = new Map<string, Promise<void>>();

  get busy(): number {
    return this.#tails.size;
  }

  /** Runs `work` when all that entered these lanes before it is over; its failure holds nobody up. */
  enter<T>(lanes: readonly string[], work: () => Promise<T>): Promise<T> {
    const before = lanes.map((lane) => this.#tails.get(lane));
    const result = Promise.all(before).then(work);
    const tail: Promise<void> = result.then(
      () => this.#leave(lanes, tail),
      () => this.#leave(lanes, tail),
    );
    for (const lane of lanes) this.#tails.set(lane, tail);
    return result;
  }

  /** Resolves when no lane has work left, work that comes meanwhile included. */
  async drained(): Promise<void> {
    while (this.#tails.size > 0) await Promise.all(this.#tails.values());
  }

  #leave(lanes: readonly string[], tail: Promise<void>): void {
    for (const lane of lanes) {
      if (this.#tails.get(lane) === tail) this.#tails.delete(lane);
    }
  }
}
