// Samples of acquiring and releasing, in microseconds.

/** @param {() => Promise<() => Promise<unknown>>} acquire gives what releases */
export async function times(rounds, acquire) {
  const samples = { acquire: [], release: [] };
  for (let i = 0; i < rounds; i++) {
    const asked = performance.now();
    const release = await acquire();
    const held = performance.now();
    await release();
    samples.acquire.push((held - asked) * 1000);
    samples.release.push((performance.now() - held) * 1000);
  }
  return samples;
}

/** The smallest value that so large a share does not exceed. */
export function percentile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)];
}
