import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { unifiedDiff } from '../../../ts/clutch/unified-diff.js';
import { hiddenCharacters } from '../../../ts/hidden-characters.js';
import { type DiffLine, payloadDiff, textDiff, unifiedLines } from '../../../ts/ui/approvals/line-diff.js';

const drawn = (lines: readonly DiffLine[]) => lines.map(({ sign, text }) => `${sign}${text}`);

describe('the diff of an edit', () => {
  it('shows a changed line with what is around it, and says what it leaves out', () => {
    const before = Array.from({ length: 12 }, (_, at) => `line ${at + 1}`).join('\n');
    expect(drawn(textDiff(before, before.replace('line 6', 'six')))).toEqual([
      '~… 2 lines as they were',
      ' line 3',
      ' line 4',
      ' line 5',
      '-line 6',
      '+six',
      ' line 7',
      ' line 8',
      ' line 9',
      '~… 3 lines as they were',
    ]);
  });

  it('names only fields that change, and where they are in a step', () => {
    const call = (script: string) => ({
      calls: [{ tool: 'run_script', payload: { script, timeout_s: 60 } }],
    });
    const diff = payloadDiff(call('ls'), call('pwd'));
    expect(diff.map(({ label }) => label)).toEqual(['calls › 0 › payload › script']);
    expect(diff.map(({ lines }) => drawn(lines))).toEqual([['-ls', '+pwd']]);
  });

  it('does not hide a change of the last line break', () => {
    expect(drawn(textDiff('a\n', 'a'))).toEqual(['~only the line break at the end']);
  });

  it('has all lines of the new text, and those of the old one, when nothing is left out', () => {
    const text = fc
      .array(fc.constantFrom('a', 'b', 'c', 'd'), { maxLength: 6 })
      .map((lines) => lines.join('\n'));
    fc.assert(
      fc.property(text, text, (before, after) => {
        const lines = textDiff(before, after);
        const side = (sign: string) =>
          lines.filter((line) => line.sign === sign || line.sign === ' ').map((line) => line.text);
        fc.pre(before !== after && lines.every(({ sign }) => sign !== '~'));
        expect(side('+')).toEqual(after === '' ? [] : after.split('\n'));
        expect(side('-')).toEqual(before === '' ? [] : before.split('\n'));
      }),
    );
  });
});

describe('a unified diff', () => {
  it('has signs where its lines have them, and lines about itself', () => {
    const diff = `--- a\n+++ b\n@@ -1,2 +1,2 @@\n one\n--- two\n+++ 2\n\\ No newline at end of file\n`;
    expect(drawn(unifiedLines(diff))).toEqual([
      '~--- a',
      '~+++ b',
      '~@@ -1,2 +1,2 @@',
      ' one',
      '--- two',
      '+++ 2',
      '~\\ No newline at end of file',
    ]);
  });

  it('of several files takes no header of the next one for a change', () => {
    const one = '--- a\n+++ a\n@@ -3 +3 @@\n-x\n+y\n';
    expect(drawn(unifiedLines(`${one}\n${one}`))).toEqual([
      ...['~--- a', '~+++ a', '~@@ -3 +3 @@', '-x', '+y', '~'],
      ...['~--- a', '~+++ a', '~@@ -3 +3 @@', '-x', '+y'],
    ]);
  });

  it('shows what the clutch writes, line for line', () => {
    const text = fc.array(fc.constantFrom('a', '-- a', '++ b', '@@ -1 +1 @@', ''), { maxLength: 8 });
    fc.assert(
      fc.property(text, text, (before, after) => {
        const ended = (lines: readonly string[]) => lines.map((line) => `${line}\n`).join('');
        const lines = unifiedLines(unifiedDiff('f', ended(before), ended(after)));
        fc.pre(before.join() !== after.join());
        const side = (sign: string) =>
          lines.filter((line) => line.sign === sign || line.sign === ' ').map((line) => line.text);
        expect(ended(before)).toContain(ended(side('-')));
        expect(ended(after)).toContain(ended(side('+')));
        expect(lines.filter((line) => line.sign === '~' && line.text.startsWith('---'))).toHaveLength(1);
      }),
    );
  });
});

describe('characters that are not seen', () => {
  it('are named', () => {
    expect(hiddenCharacters('rm\u200b -rf \u202e/')).toEqual(['U+200B', 'U+202E']);
    expect(hiddenCharacters('one\rtwo')).toEqual(['U+000D']);
    expect(hiddenCharacters('// a note\u2028run() \u034f\ufe01\u{e0041}')).toEqual([
      'U+2028',
      'U+034F',
      'U+FE01',
      'U+E0041',
    ]);
  });

  it('are not lines, tabs and letters of any language', () => {
    expect(hiddenCharacters('one\r\n\ttwo\näöü 漢字 العربية')).toEqual([]);
    expect(hiddenCharacters('done \u2714\ufe0f')).toEqual([]);
  });
});
