import { describe, expect, it } from 'vitest';
import { Repository } from '../../../ts/reservations/git/repository.js';
import { planMerge } from '../../../ts/reservations/merge/plan.js';
import type { MergePlan } from '../../../ts/reservations/merge/types.js';
import { symbolsOf } from '../../unit/reservations/read-files.js';
import { type Content, gitIn, newFolder, TestRepository } from './repositories.js';

type Files = Record<string, Content>;

function threeWays(base: Files, ours: Files, theirs: Files): TestRepository {
  const repository = new TestRepository();
  repository.commit(base);
  repository.branch('ours', ours);
  repository.branch('theirs', theirs);
  return repository;
}

async function planIn(folder: string, ours = 'ours', theirs = 'theirs', base?: string): Promise<MergePlan> {
  return planMerge(await Repository.open(folder), ours, theirs, { symbolsOf, base });
}

async function plan(base: Files, ours: Files, theirs: Files): Promise<MergePlan> {
  return planIn(threeWays(base, ours, theirs).folder);
}

function textOf(found: MergePlan, path: string): string | undefined {
  const content = found.files.find((file) => file.path === path)?.content;
  return content && 'text' in content ? content.text : undefined;
}

const kinds = ({ conflicts }: MergePlan) =>
  conflicts.map(({ kind, isResolved }) => `${kind}${isResolved ? ' resolved' : ''}`);

const total =
  'def total(items):\n    result = 0\n    for item in items:\n        result += item\n    return result\n';
const other = '\n\ndef other():\n    return 1\n';

describe('a merge plan', () => {
  it('has no conflict where only one side changed something', async () => {
    const found = await plan(
      { 'a.py': total, 'b.py': other },
      { 'a.py': null },
      { 'b.py': `${other}# more\n` },
    );
    expect(found.conflicts).toEqual([]);
    expect(found.order).toEqual([]);
    expect(found.files.map(({ path, status, isDeleted }) => [path, status, isDeleted])).toEqual([
      ['a.py', 'ours', true],
      ['b.py', 'theirs', false],
    ]);
  });

  it('has a conflict where one side deletes what the other edits: a function, a file', async () => {
    const edited = total.replace('+= item', '+= item.price');
    const ofSymbol = await plan({ 'a.py': total + other }, { 'a.py': other }, { 'a.py': edited + other });
    expect(ofSymbol.conflicts).toMatchObject([
      { kind: 'delete_edit', symbols: ['a.py::total'], ours: 'deleted', isResolved: false, isTextual: true },
    ]);
    const ofFile = await plan({ 'a.py': total }, { 'a.py': edited }, { 'a.py': null });
    expect(ofFile.conflicts).toMatchObject([{ kind: 'delete_edit', symbols: ['a.py::total'] }]);
    expect(ofFile.order).toEqual(['a.py']);
  });

  it('keeps edits of different functions of one file', async () => {
    const both = total + other;
    const found = await plan(
      { 'a.py': both },
      { 'a.py': both.replace('+= item', '+= item.price') },
      { 'a.py': both.replace('return 1', 'return 2') },
    );
    expect(found.conflicts).toEqual([]);
    expect(textOf(found, 'a.py')).toBe(
      both.replace('+= item', '+= item.price').replace('return 1', 'return 2'),
    );
  });

  it('names the function that both edit, and refuses it where the edits touch', async () => {
    const found = await plan(
      { 'a.py': total },
      { 'a.py': total.replace('= 0', '= 1') },
      { 'a.py': total.replace('for item in items', 'for item in sorted(items)') },
    );
    expect(found.conflicts).toMatchObject([
      { kind: 'symbol_edit_overlap', symbols: ['a.py::total'], isTextual: true, isResolved: false },
    ]);
    expect(found.files).toMatchObject([{ status: 'conflict' }]);
    expect(found.order).toEqual(['a.py']);
  });

  it('keeps edits of one function that do not touch, and tells of it', async () => {
    const found = await plan(
      { 'a.py': total },
      { 'a.py': total.replace('= 0', '= 1') },
      { 'a.py': total.replace('return result', 'return result * 2') },
    );
    expect(kinds(found)).toEqual(['symbol_edit_overlap resolved']);
    expect(found.conflicts[0]).toMatchObject({ symbols: ['a.py::total'], isTextual: false });
    expect(found.conflicts[0]).not.toHaveProperty('mayMerge');
    expect(textOf(found, 'a.py')).toBe(
      total.replace('= 0', '= 1').replace('return result', 'return result * 2'),
    );
    expect(found.order).toEqual([]);
  });

  it('is open where both sides move one function, though no lines meet', async () => {
    const found = await plan(
      { 'a.py': total + other, 'b.py': other, 'c.py': other },
      { 'a.py': other.trimStart(), 'b.py': `${other}\n\n${total}` },
      { 'a.py': other.trimStart(), 'c.py': `${other}\n\n${total}` },
    );
    expect(kinds(found)).toEqual(['symbol_edit_overlap']);
  });

  it('does not take what stands between a type and its methods for a part of the type', async () => {
    const go = (price: string, tax: string) =>
      `package a\n\ntype Cart struct{ n int }\n\nfunc price() int {\n\treturn ${price}\n}\n\nfunc tax() int {\n\treturn ${tax}\n}\n\nfunc (c *Cart) Add() {\n\tc.n++\n}\n`;
    const found = await plan({ 'a.go': go('1', '1') }, { 'a.go': go('2', '1') }, { 'a.go': go('1', '2') });
    expect(found.conflicts).toEqual([]);
    expect(textOf(found, 'a.go')).toBe(go('2', '2'));
  });

  it('names methods of prototypes, functions that a module is, and imports', async () => {
    const file = (more: string, body: string, main: string) =>
      `const { a${more} } = require('a');\n\nfunction Doc() {}\n\nDoc.prototype.save = function() {\n  return ${body};\n};\n\nmodule.exports = function(doc) {\n  return ${main};\n};\n`;
    const found = await plan(
      { 'a.js': file('', '0', '0') },
      { 'a.js': file(', b', '1', '1') },
      { 'a.js': file(', c', '2', '2') },
    );
    const named = new Set(found.conflicts.flatMap(({ symbols }) => symbols));
    expect([...named].sort()).toEqual([
      'a.js::Doc.save',
      'a.js::exports',
      'a.js::import::a',
      'a.js::import::b',
      'a.js::import::c',
    ]);
  });

  it('applies an edit under the name that the other side has given', async () => {
    const renamed = total.replace('total', 'sum_of');
    for (const [ours, theirs] of [
      [renamed, total.replace('+= item', '+= item.price')],
      [total.replace('+= item', '+= item.price'), renamed],
    ] as const) {
      const found = await plan(
        { 'a.py': total + other },
        { 'a.py': ours + other },
        { 'a.py': theirs + other },
      );
      expect(kinds(found)).toEqual(['rename_edit resolved']);
      expect(textOf(found, 'a.py')).toBe(renamed.replace('+= item', '+= item.price') + other);
    }
  });

  it('knows a function of two lines that was renamed and edited', async () => {
    const rate = "def rate(country):\n    return 0.19 if country == 'de' else 0.2\n";
    const found = await plan(
      { 'a.py': rate + other },
      { 'a.py': rate.replace('rate', 'tax_rate').replace('0.2\n', '0.21\n') + other },
      { 'a.py': rate.replace('country', 'land').replace('country', 'land') + other },
    );
    expect(kinds(found)).toContain('rename_edit');
    const unlike = await plan(
      { 'a.py': rate + other },
      { 'a.py': `def zone(hour):\n    return hour // 6\n${other}` },
      { 'a.py': rate.replace('0.19', '0.2') + other },
    );
    expect(kinds(unlike)).toContain('delete_edit');
  });

  it('applies an edit of a caller under the new name of what it calls', async () => {
    const caller = '\n\ndef bill(items):\n    return total(items) * 2\n';
    const found = await plan(
      { 'a.py': total + caller },
      { 'a.py': (total + caller).replaceAll('total(', 'sum_of(') },
      { 'a.py': total + caller.replace('* 2', '* 3') },
    );
    expect(kinds(found)).toEqual(['rename_edit resolved']);
    expect(textOf(found, 'a.py')).toBe(
      (total + caller.replace('* 2', '* 3')).replaceAll('total(', 'sum_of('),
    );
  });

  it('knows a renamed function whose old name stands for something else in it', async () => {
    const save = 'def save(log):\n    log("save")\n    return 1\n';
    const found = await plan(
      { 'a.py': save + other },
      { 'a.py': save.replace('save', 'store') + other },
      { 'a.py': save.replace('return 1', 'return 2') + other },
    );
    expect(kinds(found)).toEqual(['rename_edit resolved']);
    expect(textOf(found, 'a.py')).toBe(`def store(log):\n    log("save")\n    return 2\n${other}`);
  });

  it('applies an edit where the other side has moved the function', async () => {
    const edited = total.replace('+= item', '+= item.price');
    const found = await plan(
      { 'a.py': total + other, 'b.py': 'def first():\n    return 0\n' },
      { 'a.py': other.trimStart(), 'b.py': `def first():\n    return 0\n\n\n${total}` },
      { 'a.py': edited + other },
    );
    expect(kinds(found)).toEqual(['move_edit resolved']);
    expect(textOf(found, 'a.py')).toBe(other.trimStart());
    expect(textOf(found, 'b.py')).toContain(edited);
  });

  it('applies an edit in a new file too, when the old file is gone', async () => {
    const first = 'def first():\n    return 0\n';
    const found = await plan(
      { 'a.py': `${total}${other}` },
      { 'a.py': null, 'x.py': `${first}${'# filling\n'.repeat(40)}\n\n${total}`, 'y.py': other },
      { 'a.py': total.replace('+= item', '+= item.price') + other },
    );
    expect(kinds(found)).toEqual(['move_edit resolved']);
    expect(textOf(found, 'x.py')).toContain('+= item.price');
    expect(found.files.find(({ path }) => path === 'a.py')).toMatchObject({ isDeleted: true });
  });

  it('applies edits of methods, and new ones, under the new name of their class', async () => {
    const cart = (name: string, body: string, more = '') =>
      `class ${name} {\n  first() {\n    return 1;\n  }\n\n  second() {\n    return ${body};\n  }\n${more}}\n`;
    const added = '\n  third() {\n    return 3;\n  }\n';
    const found = await plan(
      { 'a.js': cart('Cart', '2') },
      { 'a.js': cart('Basket', '2') },
      { 'a.js': cart('Cart', '20', added) },
    );
    expect(found.conflicts.filter(({ isResolved }) => !isResolved)).toEqual([]);
    expect(textOf(found, 'a.js')).toBe(cart('Basket', '20', added));
  });

  it('knows a renamed function by its likeness, and refuses two edits that meet under the new name', async () => {
    const renamed = total.replace('total', 'sum_of').replace('= 0', '= 1');
    const apart = await plan(
      { 'a.py': total },
      { 'a.py': renamed },
      { 'a.py': total.replace('return result', 'return -result') },
    );
    expect(kinds(apart)).toEqual(['rename_edit resolved']);
    expect(textOf(apart, 'a.py')).toBe(renamed.replace('return result', 'return -result'));
    const meeting = await plan(
      { 'a.py': total },
      { 'a.py': renamed },
      { 'a.py': total.replace('= 0', '= 2') },
    );
    expect(meeting.conflicts[0]).toMatchObject({ kind: 'rename_edit', isResolved: false });
    expect(meeting.files[0]).toMatchObject({ status: 'conflict' });
  });

  it('sees that one side takes away what the other begins to use', async () => {
    const user = 'from a import total\n\n\ndef bill():\n    return total([1])\n';
    const found = await plan({ 'a.py': total + other, 'b.py': other }, { 'a.py': other }, { 'b.py': user });
    expect(kinds(found)).toEqual(['delete_use', 'delete_use']);
    expect(found.conflicts.map(({ symbols }) => symbols)).toEqual([
      ['a.py::total', 'b.py'],
      ['a.py::total', 'b.py::bill'],
    ]);
    const renamed = await plan(
      { 'a.py': total + other },
      { 'a.py': total.replace('total', 'sum_of') + other },
      { 'a.py': total + other.replace('return 1', 'return total([1])') },
    );
    expect(kinds(renamed)).toEqual(['delete_use']);
    expect(renamed.conflicts[0]?.recommendation).toContain('a.py::sum_of');
  });

  it('sees that one side changes a signature and the other a caller', async () => {
    const user = 'from a import total\n\n\ndef bill():\n    return total([1])\n';
    const found = await plan(
      { 'a.py': total, 'b.py': user },
      { 'a.py': total.replace('(items)', '(items, tax)') },
      { 'b.py': user.replace('[1]', '[1, 2]') },
    );
    expect(found.conflicts).toMatchObject([
      { kind: 'signature_use', path: 'b.py', symbols: ['a.py::total', 'b.py::bill'] },
    ]);
  });

  it('tells where one side edits what the other side edits a caller of, and keeps both', async () => {
    const user = 'from a import total\n\n\ndef bill():\n    return total([1])\n';
    const found = await plan(
      { 'a.py': total, 'b.py': user },
      { 'a.py': total.replace('result = 0', 'result = 1') },
      { 'b.py': user.replace('[1]', '[1, 2]') },
    );
    expect(found.conflicts).toMatchObject([
      { kind: 'dependency_conflict', symbols: ['a.py::total', 'b.py::bill'], isResolved: true },
    ]);
    expect(found.order).toEqual([]);
    expect(found.files.map(({ status }) => status)).toEqual(['ours', 'theirs']);
  });

  it('sees two things of one name that both sides add', async () => {
    const add = (value: number) => `${total}\n\ndef added():\n    return ${value}\n`;
    const symbols = await plan({ 'a.py': total }, { 'a.py': add(1) }, { 'a.py': add(2) });
    expect(symbols.conflicts).toMatchObject([{ kind: 'add_add', symbols: ['a.py::added'], isTextual: true }]);
    const files = await plan({ 'a.py': total }, { 'n.txt': '1' }, { 'n.txt': '2' });
    expect(files.conflicts).toMatchObject([{ kind: 'add_add', path: 'n.txt' }]);
    const same = await plan({ 'a.py': total }, { 'n.txt': '1' }, { 'n.txt': '1' });
    expect(same.conflicts).toEqual([]);
  });

  it('names what a comment leads to', async () => {
    const file = (kind: string) =>
      `/*!\n * @return {${kind}}\n */\n\nDoc.prototype.names = function() {\n  return [];\n};\n`;
    const found = await plan({ 'a.js': file('Any') }, { 'a.js': file('any') }, { 'a.js': file('string[]') });
    expect(found.conflicts).toMatchObject([{ kind: 'text_conflict', symbols: ['a.js::Doc.names'] }]);
  });

  it('tells that lines would have merged into something wrong', async () => {
    const file = (first: string, second: string) =>
      `const a = 1;\n${first}\nconst b = 2;\n\nfunction use() {\n  return a + b;\n}\n\nconst c = 3;\n${second}`;
    const added = 'const both = 4;\n';
    const found = await plan(
      { 'a.js': file('', '') },
      { 'a.js': file(added, '') },
      { 'a.js': file('', added) },
    );
    expect(kinds(found)).toEqual(['text_conflict resolved']);
    expect(found.conflicts[0]?.description).toContain('both would come twice');
    expect(textOf(found, 'a.js')?.split(added)).toHaveLength(2);
  });

  it('does not mistake functions in blocks of their own for one', async () => {
    const block = (name: string, more = '') => `it('${name}', () => {\n${more}  check('${name}');\n});\n\n`;
    const helper = (value: number) => `  function make() {\n    return ${value};\n  }\n`;
    const file = (...own: (number | undefined)[]) =>
      own.map((value, i) => block(`${i}`, value === undefined ? '' : helper(value))).join('');
    const two = await plan(
      { 'a.js': file(undefined, undefined, undefined) },
      { 'a.js': file(1, undefined, undefined) },
      { 'a.js': file(undefined, undefined, 3) },
    );
    expect(kinds(two)).toEqual(['add_add resolved']);
    expect(textOf(two, 'a.js')).toBe(file(1, undefined, 3));
    const more = await plan(
      { 'a.js': file(1, undefined, 3, undefined, 5) },
      { 'a.js': file(1, 2, 3, undefined, 5) },
      { 'a.js': file(1, undefined, 3, 4, 5) },
    );
    expect(more.conflicts.filter(({ isResolved }) => !isResolved)).toEqual([]);
    expect(textOf(more, 'a.js')).toBe(file(1, 2, 3, 4, 5));
  });

  it('sees versions of one dependency that differ', async () => {
    const npm = (a: string, b: string) =>
      `${JSON.stringify({ dependencies: { a, left: '1', mid: '1', b } }, null, 2)}\n`;
    const mod = (version: string) =>
      `module x\n\nrequire (\n\texample.com/a ${version}\n\texample.com/b v1.0.0\n)\n`;
    const toml = (version: string) => `[project]\ndependencies = [\n  "Flask${version}",\n]\n`;
    const all = (n: number) => ({
      'package.json': npm(`${n}`, '1'),
      'go.mod': mod(`v${n}.0.0`),
      'pyproject.toml': toml(`>=${n}`),
      'requirements.txt': `requests==${n}\n`,
    });
    const found = await plan(all(1), all(2), all(3));
    const symbols = found.conflicts
      .filter(({ kind }) => kind === 'dependency_conflict')
      .map((one) => one.symbols[0]);
    expect(symbols).toEqual([
      'go.mod::example.com/a',
      'package.json::dependencies.a',
      'pyproject.toml::flask',
      'requirements.txt::requests',
    ]);
    const apart = await plan(
      { 'package.json': npm('1', '1') },
      { 'package.json': npm('2', '1') },
      { 'package.json': npm('1', '2') },
    );
    expect(apart.conflicts).toEqual([]);
  });

  it('merges texts without symbols by lines, and says where it cannot', async () => {
    const lines = 'a\nb\nc\nd\ne\n';
    const clean = await plan({ t: lines }, { t: lines.replace('a', 'A') }, { t: lines.replace('e', 'E') });
    expect(textOf(clean, 't')).toBe('A\nb\nc\nd\nE\n');
    expect(clean.warnings).toEqual([]);
    const clash = await plan({ t: lines }, { t: lines.replace('a', 'A') }, { t: lines.replace('a', 'x') });
    expect(clash.conflicts).toMatchObject([{ kind: 'text_conflict', path: 't', isTextual: true }]);
  });

  it('merges new line ends with new lines, and without a last line end', async () => {
    const found = await plan(
      { 'a.py': (total + other).trimEnd() },
      { 'a.py': (total + other).trimEnd().replaceAll('\n', '\r\n') },
      { 'a.py': (total + other).trimEnd().replace('= 0', '= 1') },
    );
    // For git every line is in conflict.
    expect(kinds(found)).toEqual(['text_conflict resolved']);
    expect(textOf(found, 'a.py')).toBe(
      (total + other).trimEnd().replace('= 0', '= 1').replaceAll('\n', '\r\n'),
    );
  });
});

describe('a merge plan of files', () => {
  it('merges a new name with an edit, and a new mode', async () => {
    const found = await plan(
      { 'a.py': total + other, run: '#!/bin/sh\n' },
      { 'a.py': null, 'lib/a.py': total + other, run: { script: '#!/bin/sh\n' } },
      { 'a.py': (total + other).replace('= 0', '= 1'), run: '#!/bin/sh\necho\n' },
    );
    expect(found.conflicts).toEqual([]);
    expect(found.files).toMatchObject([
      { path: 'lib/a.py', oldPath: 'a.py', status: 'merged' },
      { path: 'run', status: 'merged', mode: '100755' },
    ]);
  });

  it('does not merge two names for one file', async () => {
    const found = await plan(
      { 'a.py': total },
      { 'a.py': null, 'b.py': total },
      { 'a.py': null, 'c.py': total },
    );
    expect(found.conflicts).toMatchObject([{ kind: 'file_conflict', ours: 'b.py', theirs: 'c.py' }]);
  });

  it('does not merge what is no text', async () => {
    const zero = (n: number) => new Uint8Array([0, 1, n]);
    const found = await plan(
      { bin: zero(1), link: { link: 'bin' } },
      { bin: zero(2), link: { link: 'x' } },
      { bin: zero(3), link: { link: 'y' } },
    );
    expect(kinds(found)).toEqual(['file_conflict', 'file_conflict']);
    const oneSided = await plan({ bin: zero(1) }, { bin: zero(2) }, { a: 'a' });
    expect(oneSided.conflicts).toEqual([]);
  });

  it('is in conflict wherever git is, though lines may be told apart in another way', async () => {
    const hook = (name: string) => `  - repo: ${name}\n    rev: 1\n    hooks:\n      - id: ${name}\n`;
    const list = (...names: string[]) => `repos:\n${names.map(hook).join('')}`;
    const base = list('ruff', 'uv', 'basic');
    const ours = list('ruff', 'uv', 'basic', 'spell').replace('id: ruff', 'id: ruff-check');
    const theirs = list('spell', 'ruff', 'uv', 'basic').replace('id: ruff', 'id: ruff-check');
    for (const [mine, other] of [
      [ours, theirs.replaceAll('rev: 1', 'rev: 2')],
      [theirs.replaceAll('rev: 1', 'rev: 2'), ours],
    ] as const) {
      const repository = threeWays({ 'a.yaml': base }, { 'a.yaml': mine }, { 'a.yaml': other });
      const found = await planIn(repository.folder);
      const tree = ['merge-tree', '--write-tree', '--name-only', '--no-messages', 'ours', 'theirs'];
      expect(() => repository.git(...tree)).toThrow();
      expect(found.conflicts).toMatchObject([{ kind: 'text_conflict', path: 'a.yaml', isResolved: false }]);
      expect(found.files[0]?.content).toBeUndefined();
      expect(found.files[0]?.marked).toMatchObject({ text: expect.stringContaining('<<<<<<< ') });
    }
  });

  it('keeps bytes that are no UTF-8', async () => {
    const latin = (text: string) => Buffer.from(text, 'latin1');
    const found = await plan({ t: latin('é\nb\nc\n') }, { t: latin('é\nb\nC\n') }, { t: latin('É\nb\nc\n') });
    expect(found.files[0]?.content).toEqual({ text: 'É\nb\nC\n', encoding: 'latin1' });
  });

  it('sees a file where the other side puts a folder', async () => {
    const found = await plan({ z: 'z' }, { a: 'file' }, { 'a/b': 'in a folder' });
    expect(found.conflicts).toMatchObject([{ kind: 'file_conflict', path: 'a/b' }]);
  });

  it('takes a submodule from the side that changed it', async () => {
    const repository = new TestRepository();
    const id = repository.commit({ 'a.py': total });
    repository.git('checkout', '--quiet', '-b', 'ours');
    repository.git('update-index', '--add', '--cacheinfo', `160000,${id},sub`);
    repository.git('commit', '--quiet', '--message', 'sub');
    repository.git('checkout', '--quiet', 'main');
    repository.branch('theirs', { b: 'b' });
    const found = await planIn(repository.folder);
    expect(found.conflicts).toEqual([]);
    expect(found.files).toMatchObject([{ path: 'b' }, { path: 'sub', mode: '160000', content: { id } }]);
  });

  it('merges a huge file by lines', async () => {
    const huge = Array.from({ length: 300_000 }, (_, i) => `line ${i}\n`);
    const found = await plan(
      { 'huge.py': huge.join('') },
      { 'huge.py': huge.with(10, 'ours\n').join('') },
      { 'huge.py': huge.with(290_000, 'theirs\n').join('') },
    );
    expect(found.conflicts).toEqual([]);
    expect(textOf(found, 'huge.py')).toBe(huge.with(10, 'ours\n').with(290_000, 'theirs\n').join(''));
    expect(found.warnings).toMatchObject([{ subject: 'huge.py' }]);
  });
});

describe('a merge plan of histories', () => {
  it('takes one of several common ancestors, and says so', async () => {
    const repository = threeWays({ 'a.py': total }, { l: 'l' }, { r: 'r' });
    const tips = { ours: repository.git('rev-parse', 'ours'), theirs: repository.git('rev-parse', 'theirs') };
    repository.git('checkout', '--quiet', 'ours');
    repository.git('merge', '--quiet', '--no-edit', tips.theirs);
    repository.git('checkout', '--quiet', 'theirs');
    repository.git('merge', '--quiet', '--no-edit', tips.ours);
    const found = await planIn(repository.folder);
    expect(Object.values(tips)).toContain(found.base);
    expect(found.warnings).toMatchObject([{ reason: expect.stringContaining('2 common ancestors') }]);
  });

  it('has no base where there is none', async () => {
    const repository = threeWays({ 'a.py': total }, { 'b.py': total }, { c: 'c' });
    repository.git('checkout', '--quiet', '--orphan', 'alone');
    repository.commit({ 'a.py': other });
    const found = await planIn(repository.folder, 'ours', 'alone');
    expect(found.base).toBeNull();
    expect(kinds(found)).toEqual(['add_add']);
    expect(found.warnings).toHaveLength(1);
  });

  it('works in a bare repository, from a detached head, and with a base of the caller', async () => {
    const repository = threeWays({ a: 'a\n' }, { a: 'b\n' }, { c: 'c\n' });
    repository.git('checkout', '--quiet', '--detach', 'theirs');
    const detached = await planIn(repository.folder, 'ours', 'HEAD');
    expect(detached.conflicts).toEqual([]);
    const folder = newFolder();
    gitIn(folder, 'clone', '--quiet', '--bare', repository.folder, 'bare');
    const bare = await planIn(`${folder}/bare`);
    expect(bare.files).toEqual(detached.files);
    const based = await planIn(repository.folder, 'ours', 'theirs', 'ours');
    expect(based.base).toBe(based.ours.commit);
  });

  it('tells of a shallow clone that it may lack the ancestor', async () => {
    const repository = threeWays({ a: 'a' }, { a: 'b' }, { c: 'c' });
    const folder = newFolder();
    const url = `file://${repository.folder}`;
    gitIn(folder, 'clone', '--quiet', '--depth', '1', '--no-single-branch', url, 'copy');
    const found = await planIn(`${folder}/copy`, 'origin/ours', 'origin/theirs');
    expect(found.warnings).toMatchObject([{ reason: expect.stringContaining('--unshallow') }]);
  });

  it('stops when its caller gives up', async () => {
    const repository = await Repository.open(threeWays({ a: 'a' }, { a: 'b' }, { c: 'c' }).folder);
    const signal = AbortSignal.abort();
    const planned = planMerge(repository, 'ours', 'theirs', { symbolsOf, signal });
    await expect(planned).rejects.toMatchObject({ code: 'CANCELLED' });
  });

  it('changes nothing in the repository', async () => {
    const repository = threeWays({ a: 'a' }, { a: 'b' }, { c: 'c' });
    const state = () => [
      repository.git('status', '--porcelain'),
      repository.git('count-objects', '-v'),
      repository.git('for-each-ref'),
    ];
    const before = state();
    await planIn(repository.folder);
    expect(state()).toEqual(before);
  });
});
