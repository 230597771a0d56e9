/** Sets of code points, as ascending ranges with both ends included. Surrogates belong to none. */

export type Range = readonly [number, number];
export type Ranges = readonly Range[];

export const allPoints: Ranges = [
  [0, 0xd7ff],
  [0xe000, 0x10ffff],
];

/** Sorted, without overlaps, neighbours joined, surrogates taken out. */
export function normalRanges(ranges: Ranges): Ranges {
  if (isNormal(ranges)) return ranges;
  const sorted = ranges.flatMap(withoutSurrogates).sort((a, b) => a[0] - b[0]);
  const joined: [number, number][] = [];
  for (const [low, high] of sorted) {
    const last = joined.at(-1);
    if (last !== undefined && low <= last[1] + 1) last[1] = Math.max(last[1], high);
    else joined.push([low, high]);
  }
  return joined;
}

function isNormal(ranges: Ranges): boolean {
  return ranges.every(([low, high], i) => {
    const before = ranges[i - 1];
    const isApart = before === undefined || low > before[1] + 1;
    return isApart && low <= high && (high < 0xd800 || low > 0xdfff);
  });
}

function withoutSurrogates([low, high]: Range): Range[] {
  const parts: Range[] = [
    [low, Math.min(high, 0xd7ff)],
    [Math.max(low, 0xe000), high],
  ];
  return parts.filter((part) => part[0] <= part[1]);
}

/** All characters that are not in `ranges`, which must be normal. */
export function complement(ranges: Ranges): Ranges {
  const gaps: Range[] = [];
  let next = 0;
  for (const [low, high] of ranges) {
    if (low > next) gaps.push([next, low - 1]);
    next = high + 1;
  }
  if (next <= 0x10ffff) gaps.push([next, 0x10ffff]);
  return normalRanges(gaps);
}

export function intersection(a: Ranges, b: Ranges): Ranges {
  return complement(normalRanges([...complement(a), ...complement(b)]));
}

export function contains(ranges: Ranges, point: number): boolean {
  return ranges.some(([low, high]) => low <= point && point <= high);
}

export function rangesKey(ranges: Ranges): string {
  return ranges.map(([low, high]) => `${low}-${high}`).join(',');
}
