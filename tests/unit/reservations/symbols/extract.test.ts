import { describe, expect, it } from 'vitest';
import { extract } from '../../../../ts/reservations/symbols/extract.js';
import { typescript } from '../../../../ts/reservations/symbols/languages/typescript.js';
import { maxSourceBytes, readFile } from '../../../../ts/reservations/symbols/read-file.js';

const read = (path: string, text: string) => readFile(path, Buffer.from(text));

async function symbol(text: string, name: string, path = 'a.ts') {
  const { symbols } = await read(path, text);
  const found = symbols.find((one) => one.name === name);
  if (found === undefined) throw new Error(`no ${name}`);
  return found;
}

describe('hashes of symbols', () => {
  const source = 'function total(a: number, b: number): number {\n  return total(a - 1, b);\n}\n';

  it('stay the same with other line endings and blanks at line ends', async () => {
    const other = source.replaceAll('\n', '  \r\n');
    expect((await symbol(other, 'total')).bodyHash).toBe((await symbol(source, 'total')).bodyHash);
  });

  it('tell a changed body from a changed signature', async () => {
    const before = await symbol(source, 'total');
    const body = await symbol(source.replace('- 1', '- 2'), 'total');
    const signature = await symbol(source.replace('b: number', 'b: string'), 'total');
    expect(body.bodyHash).not.toBe(before.bodyHash);
    expect(body.signatureHash).toBe(before.signatureHash);
    expect(signature.signatureHash).not.toBe(before.signatureHash);
  });

  it('keep the signature when it is only laid out otherwise', async () => {
    const other = source.replace('(a: number, b: number)', '(\n  a: number,\n  b: number,\n)');
    expect((await symbol(other, 'total')).signatureHash).toBe((await symbol(source, 'total')).signatureHash);
  });

  it('keep the shape of what is renamed, and of nothing else', async () => {
    const shape = (await symbol(source, 'total')).shapeHash;
    const renamed = source.replaceAll('total', 'sum');
    expect((await symbol(renamed, 'sum')).shapeHash).toBe(shape);
    expect((await symbol(renamed.replace('- 1', '- 2'), 'sum')).shapeHash).not.toBe(shape);
  });

  it('see that a name comes from another module', async () => {
    const one = await symbol("import { a, b } from './x';", 'import::a');
    const other = await symbol("import { a, b } from './y';", 'import::a');
    expect(one.bodyHash).not.toBe(other.bodyHash);
  });
});

describe('places of symbols', () => {
  it('are those of the text, whatever characters stand before', async () => {
    const text = '\uFEFF// 🥾 ünder\n\nexport const f = () => "ä🥾";\n';
    const { range } = await symbol(text, 'f');
    expect(text.slice(range.start, range.end)).toBe('export const f = () => "ä🥾";');
    expect(range).toMatchObject({ startLine: 3, endLine: 3 });
  });

  it('leave a comment out that stands behind other code or a blank line above', async () => {
    const text = 'const a = 1; // of a\nfunction f() {}\n\n// free\n\nfunction g() {}\n';
    expect((await symbol(text, 'f')).range.startLine).toBe(2);
    expect((await symbol(text, 'g')).range.startLine).toBe(6);
  });

  it('do not overlap unless one is inside of the other', async () => {
    const text = 'export const a = 1, b = () => 2;\nimport d, { e } from "x";\n@x class C { @y m() {} }\n';
    const { symbols } = await read('a.ts', text);
    for (const [i, one] of symbols.entries())
      for (const other of symbols.slice(i + 1))
        expect(other.range.start >= one.range.end || other.range.end <= one.range.end).toBe(true);
  });
});

describe('files that are known as a whole only', () => {
  it.each([
    ['README.md', 'text', 'No language'],
    ['a.py', 'x = "\0"', 'binary'],
    ['a.py', `#${'x'.repeat(maxSourceBytes)}`, 'larger'],
    ['a.ts', 'class A {\n  m() {}\n', 'does not parse'],
    ['a.py', 'def f(:\n    pass\n', 'does not parse'],
    ['a.ts', '<<<<<<< ours\nfunction f() {}\n=======\nfunction g() {}\n>>>>>>> theirs\n', 'does not parse'],
  ])('%s says why (%#)', async (path, text, reason) => {
    const content = await read(path, text);
    expect(content.problem).toContain(reason);
    expect(content.symbols).toEqual([]);
  });

  it('says so of text that is not UTF-8', async () => {
    const content = await readFile('a.py', Buffer.from('x = "\xe4"', 'latin1'));
    expect(content.problem).toBe('It is not UTF-8.');
  });

  it('keeps the symbols when only the inside of a function does not parse', async () => {
    const { symbols, problem, gap } = await read('a.ts', 'function f() {\n  a b ~ c;\n}\nfunction g() {}\n');
    expect(problem).toBeUndefined();
    expect(gap).toContain('line 2');
    expect(symbols.map(({ name }) => name)).toEqual(['f', 'g']);
  });

  it('keeps them when that function has no name', async () => {
    const { symbols, gap } = await read('a.ts', 'run(() => {\n  a b ~ c;\n});\nfunction g() {}\n');
    expect(gap).toContain('line 2');
    expect(symbols.map(({ name }) => name)).toEqual(['g']);
  });

  it.each([
    ['a.ts', 'function f() {\n  if (x) {\n}\nfunction g() {}\n'],
    ['a.ts', 'function f() {\n}}\nfunction g() {}\n'],
    ['a.ts', 'class A {\n  m() {}\n  n( {}\n}\nfunction g() {}\n'],
    ['a.go', 'package p\nfunc F() {\n\tif x {\n}\nfunc G() {}\n'],
  ])('does not trust symbols whose boundaries are in doubt (%#)', async (path, text) => {
    expect(await read(path, text)).toMatchObject({ symbols: [], problem: expect.stringContaining('parse') });
  });

  it('gives up a file that takes too long, and reads the next one', async () => {
    const long = `f(${'[1,2,3],'.repeat(200_000)})`;
    const content = await extract(long, typescript, { timeoutMs: 5 });
    expect(content.problem).toContain('longer than 5 ms');
    expect((await read('a.ts', 'function f() {}')).symbols).toHaveLength(1);
  });

  it('reads a generated file of one long line', async () => {
    const line = Array.from({ length: 5000 }, (_, i) => `function f${i}(){return f${i + 1}()}`).join('');
    expect((await read('a.js', line)).symbols).toHaveLength(5000);
  });
});
