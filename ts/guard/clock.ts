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

const machineMs = () => Number(process.hrtime.bigint()) / 1e6;

/**
 * From the start of this process to that of the machine: `performance.now()` costs a fraction of the other, and is
 * compared across processes. This one may be put aside between two readings; the closest pair counts.
 */
function closestOffset(): number {
  let best = { windowMs: Number.POSITIVE_INFINITY, offsetMs: 0 };
  for (let i = 0; i < 10; i++) {
    const before = machineMs();
    const here = performance.now();
    const windowMs = machineMs() - before;
    if (windowMs < best.windowMs) best = { windowMs, offsetMs: before + windowMs / 2 - here };
  }
  return best.offsetMs;
}

const offsetMs = closestOffset();

/** Since the machine started, the same for every process on it; steps of the wall clock do not show. */
export const machineClock: Clock = {
  now: () => offsetMs + performance.now(),
  after(ms, call, keepAlive = false) {
    const timer = setTimeout(call, Math.min(Math.max(0, Math.ceil(ms)), longestTimerMs));
    if (!keepAlive) timer.unref();
    return () => clearTimeout(timer);
  },
};
