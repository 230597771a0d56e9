/** Whatever two sides do to the lines of a file: a merged text has all of it, or there is none. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { mergeFile } from '../../../ts/reservations/merge/file-merge.js';
import { FileVersion } from '../../../ts/reservations/merge/version.js';
import { symbolsOf } from './read-files.js';

/** A class, methods of a prototype, functions of one name in blocks of their own, and statements between. */
const source = `const { a, b } = require('m');
let count = 0;

class Cart {
  add(item) {
    this.items.push(item);
    count += 1;
    return this;
  }

  clear() {
    this.items = [];
  }
}

// Says what it costs.
Cart.prototype.total = function() {
  let sum = 0;
  for (const item of this.items) sum += item.price;
  return sum;
};

describe('a cart', () => {
  function make() {
    return new Cart();
  }
  make();
});

describe('another', () => {
  function make() {
    return new Cart();
  }
  make();
});

function last() {
  return a + b + count;
}
`;
const lines = source.split('\n').slice(0, -1);

interface Edit {
  readonly at: number;
  readonly kind: 'insert' | 'replace' | 'delete' | 'function';
}

const edits = fc.uniqueArray(
  fc.record<Edit>({
    at: fc.nat(lines.length - 1),
    kind: fc.constantFrom('insert', 'replace', 'delete', 'function'),
  }),
  { maxLength: 5, selector: ({ at }) => at },
);

const tokenOf = (side: string, at: number) => `${side}_${at}_token`;

function edited(side: string, all: readonly Edit[]): string {
  const byLine = new Map(all.map((edit) => [edit.at, edit.kind]));
  return lines.map((line, at) => changed(line, tokenOf(side, at), byLine.get(at))).join('');
}

/** Within braces or between them, so that most of what comes out parses. */
function changed(line: string, token: string, kind: Edit['kind'] | undefined): string {
  if (kind === 'insert') return `${line} // ${token}\n`;
  if (kind === 'function') return `function ${token}() {}\n${line}\n`;
  if (kind === 'replace') return `${line}\n/* ${token} */\n`;
  return kind === 'delete' && !/[{}]/.test(line) ? '' : `${line}\n`;
}

const tokensIn = (text: string) => [...text.matchAll(/(ours|theirs)_\d+_token/g)].map(([token]) => token);

async function merged(ours: string, theirs: string) {
  const read = (text: string) => FileVersion.read('a.js', text, symbolsOf);
  const [base, mine, other] = [await read(source), await read(ours), await read(theirs)];
  return mergeFile(
    { base, ours: mine, theirs: other },
    {
      oldNames: { ours: new Map(), theirs: new Map() },
      symbolsOf,
      labels: { ours: 'ours', base: 'base', theirs: 'theirs' },
    },
  );
}

function countsOf(text: string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const line of text.split('\n').map((one) => one.replace(/ \/\/ \w+_token$/, '').trim()))
    counts.set(line, (counts.get(line) ?? 0) + 1);
  return counts;
}

it('no edit of either side is lost or doubled, and nothing that was deleted comes back', async () => {
  let clean = 0;
  await fc.assert(
    fc.asyncProperty(edits, edits, async (mine, other) => {
      const [ours, theirs] = [edited('ours', mine), edited('theirs', other)];
      const { text, marked } = await merged(ours, theirs);
      // What is refused has everything, too, between its marks.
      for (const token of [...tokensIn(ours), ...tokensIn(theirs)]) expect(marked).toContain(token);
      if (text === undefined) return;
      clean += 1;
      expect(tokensIn(text).sort()).toEqual([...tokensIn(ours), ...tokensIn(theirs)].sort());
      const [b, o, t, m] = [source, ours, theirs, text].map(countsOf);
      for (const line of b?.keys() ?? []) {
        if (line === '') continue;
        const of = (counts: ReadonlyMap<string, number> | undefined) => counts?.get(line) ?? 0;
        // Both may have deleted the same one of several.
        expect(of(m), line).toBeGreaterThanOrEqual(Math.max(0, of(o) + of(t) - of(b)));
        expect(of(m), line).toBeLessThanOrEqual(Math.min(of(o), of(t)));
      }
    }),
    { numRuns: 400 },
  );
  expect(clean).toBeGreaterThan(100);
});

it.each(['insert', 'replace', 'function', 'delete'] as const)(
  'an import that one side says something beside and the other does %s at comes once, or there is no text',
  async (kind) => {
    for (const at of [0, 1]) {
      const [ours, theirs] = [edited('ours', [{ at: 0, kind: 'insert' }]), edited('theirs', [{ at, kind }])];
      for (const [one, other] of [
        [ours, theirs],
        [theirs, ours],
      ] as const) {
        const { text } = await merged(one, other);
        expect(text?.split("require('m')").length ?? 2).toBeLessThanOrEqual(2);
      }
    }
  },
);
