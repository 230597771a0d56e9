/** Lines that are appended to a file of which nobody knows what it holds by now. */
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findLines, linesOf, makeFolders, renameToFree, writeMissing } from '../../../ts/storage/log-file.js';

let folder: string;
let file: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'stomp-log-file-'));
  file = join(folder, 'LOG.md');
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('a folder that is made for a log', () => {
  it('is kept out of git where it is a .stomp of our own', async () => {
    await makeFolders(join(folder, '.stomp', 'site', 'LOG.md'), folder);
    expect(readFileSync(join(folder, '.stomp', '.gitignore'), 'utf8')).toBe('*\n');
    expect(existsSync(join(folder, '.stomp', 'site', '.gitignore'))).toBe(false);
  });

  it('is left as it is where others have made it', async () => {
    mkdirSync(join(folder, 'theirs', '.stomp'), { recursive: true });
    await makeFolders(join(folder, 'theirs', '.stomp', 'LOG.md'), folder);
    expect(existsSync(join(folder, 'theirs', '.stomp', '.gitignore'))).toBe(false);
  });
});

/** @returns where the last line ends, and what is then in the file */
function append(before: string | Buffer, from: number, lines: string[]): { end: number; text: string } {
  writeFileSync(file, before);
  const fd = openSync(file, 'r+');
  try {
    const end = writeMissing(fd, findLines(fd, from, lines), lines);
    return { end, text: readFileSync(file, 'utf8') };
  } finally {
    closeSync(fd);
  }
}

const lineText = fc.string({ unit: fc.constantFrom('a', 'b', 'é', ' ', '€'), minLength: 1, maxLength: 12 });
const linesText = (lines: readonly string[]) => lines.map((line) => `${line}\n`).join('');

describe('lines that are appended', () => {
  it('are there once, wherever the writer before was cut off', () => {
    fc.assert(
      fc.property(
        fc.array(lineText, { maxLength: 3 }),
        fc.array(lineText, { minLength: 1, maxLength: 6 }),
        fc.nat(),
        fc.nat({ max: 20 }),
        (old, lines, cut, zeros) => {
          const start = Buffer.from(linesText(old));
          const rest = Buffer.from(linesText(lines));
          const kept = rest.subarray(0, cut % (rest.length + 1));
          const junk = kept.length < rest.length ? Buffer.alloc(zeros) : Buffer.alloc(0);
          const { end, text } = append(Buffer.concat([start, kept, junk]), start.length, lines);
          expect(text).toBe(linesText([...old, ...lines]));
          expect(end).toBe(start.length + rest.length);
        },
      ),
    );
  });

  it('are there once and in order among the lines of others, of which none is lost', () => {
    const foreign = fc.array(fc.string({ unit: fc.constantFrom('x', 'y'), minLength: 1 }), { maxLength: 3 });
    fc.assert(
      fc.property(
        fc.array(fc.tuple(lineText, foreign), { minLength: 1, maxLength: 5 }),
        fc.nat(),
        fc.boolean(),
        (all, count, ended) => {
          const lines = all.map(([line]) => line);
          const there = all.slice(0, count % (all.length + 1)).flatMap(([line, others]) => [...others, line]);
          const last = ended ? '' : 'z';
          const { end, text } = append(linesText(there) + last, 0, lines);
          const found = text.split('\n');
          expect(found.filter((line) => /^[^xyz]/.test(line))).toEqual(lines);
          expect(found.filter((line) => /^[xyz]/.test(line))).toEqual(
            [...there.filter((line) => /^[xy]/.test(line)), last].filter((line) => line !== ''),
          );
          expect(
            Buffer.from(text)
              .subarray(0, end)
              .toString()
              .endsWith(`${lines.at(-1)}\n`),
          ).toBe(true);
        },
      ),
    );
  });
});

describe('the lines of a file', () => {
  it('are all there, however long, and those that are too long only begin', () => {
    const long = 'l'.repeat(3 << 20);
    const text = `short\n${'m'.repeat(70_000)}\n\n${long}\nhalf`;
    writeFileSync(file, text);
    const fd = openSync(file, 'r');
    const lines = [...linesOf(fd, { from: 0, to: text.length })];
    closeSync(fd);
    expect(lines.map(({ text, ended, long, start, end }) => [text.length, ended, long, end - start])).toEqual(
      [
        [5, true, false, 6],
        [70_000, true, false, 70_001],
        [0, true, false, 1],
        [2 << 20, true, true, long.length + 1],
        [4, false, false, 4],
      ],
    );
  });
});

describe('a new name', () => {
  it('is never that of another file', () => {
    writeFileSync(file, 'one');
    expect(renameToFree(file, ['1', '2'])).toBe(join(folder, 'LOG.1.md'));
    writeFileSync(file, 'two');
    expect(renameToFree(file, ['1', '2'])).toBe(join(folder, 'LOG.2.md'));
    writeFileSync(file, 'three');
    expect(() => renameToFree(file, ['1', '2'])).toThrow('No name');
    expect(
      ['LOG.1.md', 'LOG.2.md', 'LOG.md'].map((name) => readFileSync(join(folder, name), 'utf8')),
    ).toEqual(['one', 'two', 'three']);
  });
});
