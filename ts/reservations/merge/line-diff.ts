/** Where two sequences of lines differ. Pure. */

/** Lines `[aStart, aEnd)` of one became `[bStart, bEnd)` of the other. */
export interface Hunk {
  readonly aStart: number;
  readonly aEnd: number;
  readonly bStart: number;
  readonly bEnd: number;
}

// Beyond so many edits between two anchors the whole stretch counts as changed: the search takes their square.
const maxEdits = 1500;

/** In order; two of them never touch. */
export function diffLines(aLines: readonly string[], bLines: readonly string[]): Hunk[] {
  const [a, b] = numbered(aLines, bLines);
  const hunks: Hunk[] = [];
  const todo: Hunk[] = [{ aStart: 0, aEnd: a.length, bStart: 0, bEnd: b.length }];
  // Depth first and from the front, so that the hunks come in order.
  for (let next = todo.pop(); next; next = todo.pop()) {
    const rest = trim(a, b, next);
    const isOneSided = rest.aStart === rest.aEnd || rest.bStart === rest.bEnd;
    const anchors = isOneSided ? [] : uniqueAnchors(a, b, rest);
    if (anchors.length > 0) todo.push(...between(rest, anchors).reverse());
    else hunks.push(...(isOneSided ? nonEmpty(rest) : shortestEdits(a, b, rest)));
  }
  return slideDown(a, b, joined(hunks));
}

/** The same number for the same line. */
function numbered(...texts: readonly (readonly string[])[]): [number[], number[]] {
  const numbers = new Map<string, number>();
  const [a = [], b = []] = texts.map((lines) =>
    lines.map((line) => {
      const known = numbers.get(line) ?? numbers.size;
      numbers.set(line, known);
      return known;
    }),
  );
  return [a, b];
}

function nonEmpty(hunk: Hunk): Hunk[] {
  return hunk.aStart === hunk.aEnd && hunk.bStart === hunk.bEnd ? [] : [hunk];
}

/** Without what is the same at both ends. */
function trim(a: readonly number[], b: readonly number[], hunk: Hunk): Hunk {
  let { aStart, aEnd, bStart, bEnd } = hunk;
  while (aStart < aEnd && bStart < bEnd && a[aStart] === b[bStart]) {
    aStart++;
    bStart++;
  }
  while (aStart < aEnd && bStart < bEnd && a[aEnd - 1] === b[bEnd - 1]) {
    aEnd--;
    bEnd--;
  }
  return { aStart, aEnd, bStart, bEnd };
}

type Pair = readonly [a: number, b: number];

/** Lines that are there once on each side, as many as can be kept without crossing. */
function uniqueAnchors(a: readonly number[], b: readonly number[], hunk: Hunk): Pair[] {
  const inA = placesOfUnique(a, hunk.aStart, hunk.aEnd);
  const inB = placesOfUnique(b, hunk.bStart, hunk.bEnd);
  const pairs: Pair[] = [];
  for (const [line, place] of inA) {
    const other = inB.get(line);
    if (place >= 0 && other !== undefined && other >= 0) pairs.push([place, other]);
  }
  pairs.sort((one, other) => one[0] - other[0]);
  return longestRising(pairs);
}

/** From a line to its place; -1 when it is there more than once. */
function placesOfUnique(lines: readonly number[], start: number, end: number): Map<number, number> {
  const places = new Map<number, number>();
  for (let i = start; i < end; i++) {
    const line = lines[i] ?? -1;
    places.set(line, places.has(line) ? -1 : i);
  }
  return places;
}

/** Patience sorting by the second of each pair. */
function longestRising(pairs: readonly Pair[]): Pair[] {
  const tops: number[] = [];
  const before: number[] = [];
  pairs.forEach(([, b], i) => {
    let low = 0;
    let high = tops.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((pairs[tops[middle] ?? 0]?.[1] ?? 0) < b) low = middle + 1;
      else high = middle;
    }
    before[i] = low > 0 ? (tops[low - 1] ?? -1) : -1;
    tops[low] = i;
  });
  const rising: Pair[] = [];
  for (let i = tops.at(-1) ?? -1; i >= 0; i = before[i] ?? -1) {
    const pair = pairs[i];
    if (pair) rising.push(pair);
  }
  return rising.reverse();
}

function between(hunk: Hunk, anchors: readonly Pair[]): Hunk[] {
  const parts: Hunk[] = [];
  let [aStart, bStart] = [hunk.aStart, hunk.bStart];
  for (const [aEnd, bEnd] of anchors) {
    parts.push({ aStart, aEnd, bStart, bEnd });
    [aStart, bStart] = [aEnd + 1, bEnd + 1];
  }
  parts.push({ aStart, aEnd: hunk.aEnd, bStart, bEnd: hunk.bEnd });
  return parts;
}

/** Myers' greedy search, with what was reached after each number of edits. */
function shortestEdits(a: readonly number[], b: readonly number[], hunk: Hunk): Hunk[] {
  const [n, m] = [hunk.aEnd - hunk.aStart, hunk.bEnd - hunk.bStart];
  const limit = Math.min(n + m, maxEdits);
  const reached: Int32Array[] = [];
  let last = new Int32Array(1);
  for (let d = 0; d <= limit; d++) {
    const now = new Int32Array(2 * d + 1);
    for (let k = -d; k <= d; k += 2) {
      const x = followEqual(a, b, hunk, d === 0 ? 0 : step(last, d, k), k);
      now[k + d] = x;
      if (x >= n && x - k >= m) return walkBack(reached, hunk, d, k);
    }
    reached.push(now);
    last = now;
  }
  return [hunk];
}

function followEqual(
  a: readonly number[],
  b: readonly number[],
  { aStart, aEnd, bStart, bEnd }: Hunk,
  from: number,
  k: number,
): number {
  let i = aStart + from;
  let j = bStart + from - k;
  while (i < aEnd && j < bEnd && a[i] === b[j]) {
    i++;
    j++;
  }
  return i - aStart;
}

/** How far the best way with `d` edits comes on diagonal `k` before it follows equal lines. */
function step(last: Int32Array, d: number, k: number): number {
  const fromLeft = last[k - 1 + d - 1] ?? -1;
  const fromAbove = last[k + 1 + d - 1] ?? -1;
  return isDown(last, d, k) ? fromAbove : fromLeft + 1;
}

function isDown(last: Int32Array, d: number, k: number): boolean {
  if (k === -d) return true;
  if (k === d) return false;
  return (last[k - 1 + d - 1] ?? -1) < (last[k + 1 + d - 1] ?? -1);
}

function walkBack(reached: readonly Int32Array[], hunk: Hunk, edits: number, diagonal: number): Hunk[] {
  const found: Hunk[] = [];
  let k = diagonal;
  for (let d = edits; d > 0; d--) {
    const last = reached[d - 1] ?? new Int32Array(1);
    const down = isDown(last, d, k);
    k += down ? 1 : -1;
    const x = last[k + d - 1] ?? 0;
    const [aStart, bStart] = [hunk.aStart + x, hunk.bStart + x - k];
    found.push({ aStart, aEnd: aStart + (down ? 0 : 1), bStart, bEnd: bStart + (down ? 1 : 0) });
  }
  return found.reverse();
}

/** Those that touch become one. */
function joined(hunks: readonly Hunk[]): Hunk[] {
  const result: Hunk[] = [];
  for (const hunk of hunks) {
    const last = result.at(-1);
    if (last && last.aEnd === hunk.aStart && last.bEnd === hunk.bStart) {
      result[result.length - 1] = { ...last, aEnd: hunk.aEnd, bEnd: hunk.bEnd };
    } else result.push(hunk);
  }
  return result;
}

/**
 * What was only put in, or only taken out, may often be said to be a few lines further up or down. All the way down is
 * where everybody puts it, so that the same change by two sides is found in the same place.
 */
function slideDown(a: readonly number[], b: readonly number[], hunks: readonly Hunk[]): Hunk[] {
  const slid: Hunk[] = [];
  let limit = a.length;
  for (const hunk of [...hunks].reverse()) {
    let by = 0;
    if (hunk.aStart === hunk.aEnd) by = slideBy(b, hunk.bStart, hunk.bEnd, limit - hunk.aEnd);
    if (hunk.bStart === hunk.bEnd) by = slideBy(a, hunk.aStart, hunk.aEnd, limit - hunk.aEnd);
    const { aStart, aEnd, bStart, bEnd } = hunk;
    slid.push({ aStart: aStart + by, aEnd: aEnd + by, bStart: bStart + by, bEnd: bEnd + by });
    limit = aStart + by;
  }
  return joined(slid.reverse());
}

function slideBy(lines: readonly number[], start: number, end: number, most: number): number {
  let by = 0;
  while (by < most && lines[start + by] === lines[end + by]) by++;
  return by;
}
