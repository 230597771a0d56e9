import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mergeFile } from '../../../ts/reservations/merge/file-merge.js';
import { uniteImports } from '../../../ts/reservations/merge/import-lists.js';
import { unitsOf } from '../../../ts/reservations/merge/units.js';
import { FileVersion } from '../../../ts/reservations/merge/version.js';
import { symbolsOf } from './read-files.js';

const options = {
  oldNames: { ours: new Map<string, string>(), theirs: new Map<string, string>() },
  symbolsOf,
  labels: { ours: 'ours', base: 'base', theirs: 'theirs' },
};

async function merge(base: string, ours: string, theirs: string, path = 'a.py') {
  const read = (text: string) => FileVersion.read(path, text, symbolsOf);
  const [b, o, t] = await Promise.all([read(base), read(ours), read(theirs)]);
  return mergeFile({ base: b, ours: o, theirs: t }, options);
}

const two = 'def one():\n    return 1\ndef two():\n    return 2\n';

describe('a file that both sides changed', () => {
  it('has the edits of neighbouring functions, which touch', async () => {
    const merged = await merge(
      two,
      two.replace('return 1', 'return 10'),
      two.replace('def two():', 'def two(x):'),
    );
    expect(merged).toMatchObject({
      areLinesClean: false,
      text: 'def one():\n    return 10\ndef two(x):\n    return 2\n',
    });
    expect(merged.lineConflicts).toEqual(['one', 'two']);
  });

  it('has what both appended, ours first', async () => {
    const add = (name: string) => `${two}\n\ndef ${name}():\n    return '${name}'\n`;
    const { text } = await merge(two, add('ours'), add('theirs'));
    expect(text).toBe(`${add('ours')}\n\ndef theirs():\n    return 'theirs'\n`);
  });

  it('has what both put first, kept apart', async () => {
    const add = (name: string) => `def ${name}():\n    return '${name}'\n\n\n${two}`;
    const { text } = await merge(two, add('ours'), add('theirs'));
    expect(text).toBe(`def ours():\n    return 'ours'\n\n\n${add('theirs')}`);
  });

  it('has the methods that both added to one class, also to one that had none', async () => {
    const empty = 'class A {\n}\n';
    const add = (name: string) => `class A {\n  ${name}() {\n    return 1;\n  }\n}\n`;
    const { text } = await merge(empty, add('x'), add('y'), 'a.js');
    expect(text).toBe('class A {\n  x() {\n    return 1;\n  }\n  y() {\n    return 1;\n  }\n}\n');
  });

  it('has the imports of both', async () => {
    const base = "import { a } from './m.js';\n\nfunction f() {\n  return a;\n}\n";
    const ours = base.replace('{ a }', '{ a, b }').replace("';\n", "';\nimport { x } from './x.js';\n");
    const theirs = base.replace('{ a }', '{ a, c }').replace("';\n", "';\nimport { y } from './y.js';\n");
    const { text } = await merge(base, ours, theirs, 'a.js');
    expect(text).toContain("import { a, b, c } from './m.js';");
    expect(text).toContain("import { x } from './x.js';\nimport { y } from './y.js';\n");
  });

  it('is in conflict where both changed one line, and where one deleted what the other changed', async () => {
    const both = await merge(two, two.replace('1', '10'), two.replace('1', '11'));
    expect(both.text).toBeUndefined();
    expect(both.lineConflicts).toEqual(['one']);
    const gone = await merge(two, 'def two():\n    return 2\n', two.replace('1', '11'));
    expect(gone.text).toBeUndefined();
  });

  it('is refused when its lines merge into what neither side said', async () => {
    // Both add a function of one name, far from each other.
    const far = `${two}${'# far away\n'.repeat(5)}def three():\n    return 3\n`;
    const ours = far.replace('def one', 'def added():\n    return 5\n\n\ndef one');
    const theirs = `${far}\n\ndef added():\n    return 6\n`;
    const merged = await merge(far, ours, theirs);
    expect(merged.areLinesClean).toBe(true);
    expect(merged.text).toBeUndefined();
    expect(merged.reason).toContain('added');
  });

  it('is refused when a statement between functions would come twice', async () => {
    const base = `${two}\nregister(1)\n\n\ndef last():\n    return 3\n`;
    const add = (name: string) =>
      base.replace('\n\n\ndef last', `\n\n\ndef ${name}():\n    pass\n\n\ndef last`);
    expect((await merge(base, add('ours'), add('theirs'))).text).toBeUndefined();
  });

  it('has no merge by symbols when it cannot be parsed', async () => {
    const merged = await merge('def f(:\n', 'def f(:\n    1\n', 'def f(:\n    2\n');
    expect(merged.text).toBeUndefined();
    expect(merged.lineConflicts).toEqual([]);
  });
});

const names = ['alpha', 'beta', 'gamma', 'delta', 'epsilon', 'zeta'];
const sideEdits = fc.array(
  fc.record({
    name: fc.constantFrom(...names),
    line: fc.nat(2),
    kind: fc.constantFrom('edit', 'add', 'delete'),
  }),
  { maxLength: 4 },
);
type Edits = typeof sideEdits extends fc.Arbitrary<infer T> ? T : never;

/** Each function once, by the first edit that names it. */
function edited(side: string, edits: Edits): string {
  const first = new Map([...edits].reverse().map((edit) => [edit.name, edit]));
  return names
    .map((name) => {
      const edit = first.get(name);
      if (edit?.kind === 'delete') return '';
      const lines = [0, 1, 2].map((line) => {
        const isEdited = edit?.kind === 'edit' && edit.line === line;
        return `    ${name}_${line} = ${isEdited ? `'${side}'` : line}\n`;
      });
      const added =
        edit?.kind === 'add' ? `\ndef ${side}_after_${name}():\n    return '${side} ${name}'\n` : '';
      return `def ${name}():\n${lines.join('')}${added}`;
    })
    .join('');
}

async function hashesOf(text: string): Promise<Map<string, string>> {
  const { symbols } = await symbolsOf('a.py', text);
  return new Map(symbols.map(({ name, bodyHash }) => [name, bodyHash]));
}

function changedOf(name: string, ...[base, ours, theirs]: Map<string, string>[]): string | undefined {
  const side = ours?.has(name) && ours.get(name) !== base?.get(name) ? ours : theirs;
  return side?.get(name);
}

it('random edits of different functions on two sides are all in the merged file, which parses', async () => {
  await fc.assert(
    fc.asyncProperty(sideEdits, sideEdits, async (oursEdits, theirsEdits) => {
      const taken = new Set(oursEdits.map(({ name }) => name));
      const others = theirsEdits.filter(({ name }) => !taken.has(name));
      const [base, ours, theirs] = [edited('', []), edited('ours', oursEdits), edited('theirs', others)];
      const { text } = await merge(base, ours, theirs);
      expect(text).toBeDefined();
      const [b, o, t, merged] = await Promise.all([base, ours, theirs, text ?? ''].map(hashesOf));
      if (!b || !o || !t || !merged) throw new Error('nothing was read');
      const isKept = (name: string) => !b.has(name) || (o.has(name) && t.has(name));
      const kept = [...new Set([...o.keys(), ...t.keys()])].filter(isKept);
      const expected = kept.map((name) => [name, changedOf(name, b, o, t)]);
      expect([...merged].sort()).toEqual(expected.sort());
    }),
    { numRuns: 400 },
  );
});

it('units are the text, whatever it is', async () => {
  const text = 'import a\n\nx = 1\nclass A:\n    y = 2\n\n    def m(self):\n        pass\n    z = 3\n# end\n';
  for (const one of [text, text.replaceAll('\n', '\r\n'), text.trimEnd(), '', '\n']) {
    const units = unitsOf(await FileVersion.read('a.py', one, symbolsOf));
    expect(units.map(({ lead, text: own }) => lead + own).join('')).toBe(one);
  }
});

it('lists of imported names are united in the form they have', () => {
  expect(uniteImports('from m import a\n', 'from m import a, b\n', 'from m import c, a\n')).toBe(
    'from m import a, b, c\n',
  );
  expect(
    uniteImports(
      "import {\n  a,\n  b,\n} from 'm';\n",
      "import {\n  a,\n} from 'm';\n",
      "import {\n  a,\n  b,\n  c,\n} from 'm';\n",
    ),
  ).toBe("import {\n  a,\n  c,\n} from 'm';\n");
  expect(uniteImports('import a\n', 'import b\n', 'import c\n')).toBeUndefined();
});
