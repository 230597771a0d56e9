/** What systems keep for one client while it is connected. */

/** Something that is kept for a client. */
export interface Kept {
  /** The client is gone. What it had taken for itself is given back. */
  giveBack?(): Promise<void>;
}

/** One client, as long as it is connected. */
export class Connection {
  readonly #kept = new Map<() => object, Kept>();

  /**
   * What `make` has made for this client; it is called once.
   * @param make its identity stands for what it makes
   */
  kept<T extends object>(make: () => T): T {
    const known = this.#kept.get(make);
    if (known) return known as T;
    const made = make();
    this.#kept.set(make, made);
    return made;
  }

  /** Gives back all that is kept, and keeps nothing. @throws the first failure, after all was tried */
  async giveBack(): Promise<void> {
    const kept = [...this.#kept.values()];
    this.#kept.clear();
    const ends = await Promise.allSettled(kept.map((one) => one.giveBack?.()));
    const failed = ends.find((end) => end.status === 'rejected');
    if (failed) throw failed.reason;
  }
}
