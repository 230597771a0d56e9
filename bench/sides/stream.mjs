// How every side's answer is timed: when tokens arrive in JavaScript, and how many.

/**
 * @param {AsyncIterable<readonly number[]>} pieces tokens as they arrive
 * @returns {Promise<{ startMs: number, times: { at: number, count: number }[], tokens: number[] }>}
 */
export async function timed(pieces, maxTokens, startMs = performance.now()) {
  const times = [];
  const tokens = [];
  for await (const piece of pieces) {
    if (piece.length === 0) continue;
    times.push({ at: performance.now(), count: piece.length });
    tokens.push(...piece);
  }
  if (tokens.length !== maxTokens) {
    throw new Error(`${tokens.length} tokens came instead of ${maxTokens}`);
  }
  return { startMs, times, tokens };
}
