// Medians, spreads and the rate of a decode phase. Pure.

/** @param {readonly number[]} numbers at least one */
export function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Smallest, middle and largest. */
export function summary(numbers) {
  return { median: median(numbers), low: Math.min(...numbers), high: Math.max(...numbers) };
}

/** Whether a is a better figure than b in this unit: times are better small, rates large. */
export function better(unit, a, b) {
  return unit === 'ms' ? a < b : a > b;
}

/** How many times better `ours` is than `theirs`. */
export function ratio(unit, ours, theirs) {
  return unit === 'ms' ? theirs / ours : ours / theirs;
}

/**
 * Tokens a second of several answers decoded at once. The phase begins when the last of them has its first token and
 * ends with the last token of the first to finish; what is delivered after its beginning, up to and including its end,
 * counts.
 * @param {{ times: { at: number, count: number }[] }[]} streams arrivals in milliseconds, in order
 */
export function decodeRate(streams) {
  if (streams.some(({ times }) => times.length === 0)) throw new Error('an answer had no token');
  const start = Math.max(...streams.map(({ times }) => times[0].at));
  const end = Math.min(...streams.map(({ times }) => times[times.length - 1].at));
  if (end <= start) throw new Error('an answer ended before all had begun: nothing was decoded together');
  const inside = streams.flatMap(({ times }) => times).filter(({ at }) => at > start && at <= end);
  return (inside.reduce((sum, { count }) => sum + count, 0) / (end - start)) * 1e3;
}

/**
 * Sizes whose rate is more than `tolerance` below that of some smaller size.
 * @param {{ size: number, rate: number }[]} rates
 */
export function dips(rates, tolerance = 0.03) {
  const bySize = [...rates].sort((a, b) => a.size - b.size);
  let best = 0;
  return bySize.filter(({ rate }) => {
    const below = rate < best * (1 - tolerance);
    best = Math.max(best, rate);
    return below;
  });
}
