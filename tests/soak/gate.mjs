/** Lets many work at once, and one alone when it asks. */
export class Gate {
  #inside = 0;
  #closed;
  #open;
  #emptied;

  /** Runs `work` among others; not before the one that is alone has ended. */
  async pass(work) {
    while (this.#closed) await this.#closed;
    this.#inside++;
    try {
      return await work();
    } finally {
      this.#inside--;
      if (this.#inside === 0) this.#emptied?.();
    }
  }

  /** Runs `work` when nobody is inside, and lets nobody in meanwhile. */
  async alone(work) {
    this.#closed = new Promise((resolve) => (this.#open = resolve));
    try {
      if (this.#inside > 0) await new Promise((resolve) => (this.#emptied = resolve));
      return await work();
    } finally {
      this.#closed = undefined;
      this.#emptied = undefined;
      this.#open();
    }
  }
}
