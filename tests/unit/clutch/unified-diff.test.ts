import { applyPatch } from 'diff';
import { describe, expect, it } from 'vitest';
import { countLines, unifiedDiff } from '../../../ts/clutch/unified-diff.js';

const lines = (count: number, name: string) =>
  Array.from({ length: count }, (_, at) => `${name} ${at}\n`).join('');

describe('a unified diff', () => {
  it('names the file, or /dev/null where there is none', () => {
    expect(unifiedDiff('a.txt', 'x\n', 'y\n')).toBe('--- a.txt\n+++ a.txt\n@@ -1,1 +1,1 @@\n-x\n+y\n');
    expect(unifiedDiff('a.txt', undefined, 'y\n')).toContain('--- /dev/null\n+++ a.txt\n');
    expect(unifiedDiff('a.txt', 'x\n', undefined)).toContain('--- a.txt\n+++ /dev/null\n');
    expect(unifiedDiff('a.txt', 'x\n', 'x\n')).toBe('');
  });

  it('makes the new text of the old one, also of texts with nothing in common', () => {
    const [old, now] = [lines(3000, 'old'), `${lines(2500, 'new')}no end`];
    for (const [before, after] of [
      [old, now],
      [now, old],
      [old, `${old}more`],
      ['', old],
    ] as const) {
      expect(applyPatch(before, unifiedDiff('a.txt', before, after))).toBe(after);
    }
  });
});

it('counts lines as people do', () => {
  expect(['', 'a', 'a\n', 'a\nb', 'a\n\n'].map(countLines)).toEqual([0, 1, 1, 2, 2]);
});
