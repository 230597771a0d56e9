/** The time of one process, or of the tests. */
export interface Clock {
  /** Milliseconds that only rise, from any beginning. */
  now(): number;
  /**
   * Calls back once after so many milliseconds.
   * @param keepAlive the process does not end before
   * @returns what calls it off
   */
  after(ms: number, call: () => void, keepAlive?: boolean): () => void;
}

// Beyond it Node fires at once.
const longestTimerMs = 2 ** 31 - 1;

// From the start of this process to that of the machine.
const offsetMs = Number(process.hrtime.bigint()) / 1e6 - performance.now();

/** Since the machine started, the same for every process on it; steps of the wall clock do not show. */
export const machineClock: Clock = {
  now: () => offsetMs + performance.now(),
  after(ms, call, keepAlive = false) {
    const timer = setTimeout(call, Math.min(Math.max(0, Math.ceil(ms)), longestTimerMs));
    if (!keepAlive) timer.unref();
    return () => clearTimeout(timer);
  },
};
