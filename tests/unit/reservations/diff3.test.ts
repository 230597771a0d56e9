import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cleanText, linesOf, markedText, merge3 } from '../../../ts/reservations/merge/diff3.js';
import { diffLines } from '../../../ts/reservations/merge/line-diff.js';
import { inOneStyle } from '../../../ts/reservations/merge/text-style.js';

const few = fc.array(fc.constantFrom('a\n', 'b\n', 'c\n', '\n', 'd\n'), { maxLength: 30 });

function applied(a: readonly string[], b: readonly string[]): string[] {
  const result: string[] = [];
  let at = 0;
  for (const hunk of diffLines(a, b)) {
    result.push(...a.slice(at, hunk.aStart), ...b.slice(hunk.bStart, hunk.bEnd));
    at = hunk.aEnd;
  }
  return [...result, ...a.slice(at)];
}

describe('differences of lines', () => {
  it('make the one text of the other, and never touch each other', () => {
    fc.assert(
      fc.property(few, few, (a, b) => {
        expect(applied(a, b)).toEqual(b);
        const hunks = diffLines(a, b);
        hunks.slice(1).forEach((hunk, i) => {
          expect(hunk.aStart).toBeGreaterThan(hunks[i]?.aEnd ?? -1);
        });
      }),
      { numRuns: 500 },
    );
  });

  it('are found in long texts that have nothing in common, and in long equal ones, at once', () => {
    const a: string[] = Array.from({ length: 50_000 }, (_, i) => (i % 2 ? 'x' : 'y'));
    const b = Array.from({ length: 50_000 }, (_, i) => (i % 3 ? 'p' : 'x'));
    expect(applied(a, b)).toEqual(b);
    const changed = a.with(25_000, 'new');
    expect(diffLines(a, changed)).toHaveLength(1);
  });
});

describe('a merge of three texts', () => {
  it('is the other side when one side is as the base, and the same when both are the same', () => {
    fc.assert(
      fc.property(few, few, (a, b) => {
        const [base, side] = [a.join(''), b.join('')];
        expect(cleanText(merge3(base, base, side))).toBe(side);
        expect(cleanText(merge3(base, side, base))).toBe(side);
        expect(cleanText(merge3(base, side, side))).toBe(side);
      }),
    );
  });

  it('is the same from either side when it is clean', () => {
    fc.assert(
      fc.property(few, few, few, (a, b, c) => {
        const [base, ours, theirs] = [a.join(''), b.join(''), c.join('')];
        expect(cleanText(merge3(base, ours, theirs))).toBe(cleanText(merge3(base, theirs, ours)));
      }),
    );
  });

  it('is in conflict where changes touch, and shows all three', () => {
    const stretches = merge3('a\nb\nc\n', 'A\nb\nc\n', 'a\nB\nc\n');
    expect(cleanText(stretches)).toBeUndefined();
    expect(markedText(stretches, { ours: 'o', base: 'b', theirs: 't' })).toBe(
      '<<<<<<< o\nA\nb\n||||||| b\na\nb\n=======\na\nB\n>>>>>>> t\nc\n',
    );
  });

  it('knows lines with their ends', () => {
    for (const text of ['', '\n', 'a', 'a\n', 'a\r\nb', '\n\na']) expect(linesOf(text).join('')).toBe(text);
  });
});

describe('texts of different styles', () => {
  const merged = (base: string, ours: string, theirs: string) => {
    const { texts, restore } = inOneStyle({ base, ours, theirs });
    const text = cleanText(merge3(texts.base, texts.ours, texts.theirs));
    return text === undefined ? undefined : restore(text);
  };

  it('take new line ends of one side and new lines of the other', () => {
    expect(merged('a\nb\nc\n', 'a\r\nb\r\nc\r\n', 'a\nb\nC\n')).toBe('a\r\nb\r\nC\r\n');
    expect(merged('a\r\nb\r\nc\r\n', 'a\r\nb\r\nC\r\n', 'a\nb\nc\n')).toBe('a\nb\nC\n');
  });

  it('keep mixed line ends as they are', () => {
    expect(merged('a\r\nb\nc\n', 'a\r\nb\nC\n', 'a\r\nb\nc\n')).toBe('a\r\nb\nC\n');
  });

  it('take or keep a missing last line end', () => {
    expect(merged('a\nb\nc', 'A\nb\nc', 'a\nb\nc\n')).toBe('A\nb\nc\n');
    expect(merged('a\nb\nc\n', 'a\nb\nc', 'A\nb\nc\n')).toBe('A\nb\nc');
    expect(merged('a', 'a', 'a\nb')).toBe('a\nb');
  });
});
