import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { better, decodeRate, dips, median, ratio, summary } from '../../../bench/statistics.mjs';

/** A stream of single tokens at these milliseconds. */
const stream = (...at: number[]) => ({ times: at.map((ms) => ({ at: ms, count: 1 })) });

describe('statistics of trials', () => {
  it('takes the middle, or the mean of the two middles, whatever the order', () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(summary([3, 1, 2])).toEqual({ median: 2, low: 1, high: 3 });
  });

  it('has the median between the extremes and leaves its input alone', () => {
    fc.assert(
      fc.property(fc.array(fc.integer(), { minLength: 1 }), (numbers) => {
        const before = [...numbers];
        const { low, high } = summary(numbers);
        expect(median(numbers)).toBeGreaterThanOrEqual(low);
        expect(median(numbers)).toBeLessThanOrEqual(high);
        expect(numbers).toEqual(before);
      }),
    );
  });

  it('prefers small times and large rates, and turns the ratio of times round', () => {
    expect(better('ms', 1, 2)).toBe(true);
    expect(better('tok/s', 1, 2)).toBe(false);
    expect(ratio('ms', 10, 30)).toBe(3);
    expect(ratio('tok/s', 30, 10)).toBe(3);
  });
});

describe('the decode phase', () => {
  it('of one answer begins with its first token, which does not count', () => {
    expect(decodeRate([stream(100, 110, 120, 130)])).toBeCloseTo(100);
  });

  it('of several begins when the last has begun and ends when the first ends', () => {
    const early = stream(0, 10, 20, 30);
    const late = stream(10, 20, 30, 40, 50);
    // From 10 to 30: two tokens of each.
    expect(decodeRate([early, late])).toBeCloseTo(200);
  });

  it('counts every token of a piece that brings several', () => {
    const pieces = { times: [{ at: 0, count: 1 }, { at: 10, count: 3 }] }; // biome-ignore format: one line
    expect(decodeRate([pieces])).toBeCloseTo(300);
  });

  it('refuses answers that never overlapped', () => {
    expect(() => decodeRate([stream(0, 10), stream(20, 30)])).toThrow(/before all had begun/);
    expect(() => decodeRate([stream()])).toThrow(/no token/);
  });
});

describe('batch sizes', () => {
  const rates = (...list: number[]) => list.map((rate, i) => ({ size: i + 1, rate }));

  it('are named when they are clearly below a smaller one', () => {
    expect(dips(rates(100, 200, 190, 300)).map(({ size }) => size)).toEqual([3]);
    expect(dips(rates(100, 200, 198, 300))).toEqual([]);
  });

  it('are compared with the best of all smaller ones', () => {
    expect(dips(rates(100, 200, 196, 192)).map(({ size }) => size)).toEqual([4]);
  });
});
