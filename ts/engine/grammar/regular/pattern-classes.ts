/** Sets of characters that patterns name: `\d`, `\s`, `\p{Letter}` and the like, as ECMA-262 defines them. */
import { complement, normalRanges, type Range, type Ranges } from './ranges.js';

const digits: Ranges = [[0x30, 0x39]];
const word: Ranges = [
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
];
const space: Ranges = [
  [0x09, 0x0d],
  [0x20, 0x20],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff],
];

/** What `.` stands for: all but the ends of lines. */
export const dot: Ranges = complement([
  [0x0a, 0x0a],
  [0x0d, 0x0d],
  [0x2028, 0x2029],
]);

const named: Readonly<Record<string, Ranges>> = {
  d: digits,
  D: complement(digits),
  w: word,
  W: complement(word),
  s: space,
  S: complement(space),
};

/** The set of `\d`, `\D`, `\w`, `\W`, `\s`, `\S`, by its letter. */
export function namedClass(letter: string): Ranges | undefined {
  return Object.hasOwn(named, letter) ? named[letter] : undefined;
}

/** There are a few hundred properties, and each never changes. */
const properties = new Map<string, Ranges>();

/**
 * The characters with a Unicode property, as the run-time knows it; undefined when there is none of this name.
 * @param name what stands between the braces of `\p{…}`.
 */
export function propertyClass(name: string): Ranges | undefined {
  const known = properties.get(name);
  if (known !== undefined) return known;
  const test = propertyTest(name);
  if (test === undefined) return undefined;
  const found: Range[] = [];
  for (let point = 0; point <= 0x10ffff; point++) {
    if (test.test(String.fromCodePoint(point))) found.push([point, point]);
  }
  const ranges = normalRanges(found);
  properties.set(name, ranges);
  return ranges;
}

function propertyTest(name: string): RegExp | undefined {
  if (!/^[A-Za-z_]{1,60}(=[A-Za-z0-9_]{1,60})?$/.test(name)) return undefined;
  try {
    return new RegExp(`^\\p{${name}}$`, 'u');
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
