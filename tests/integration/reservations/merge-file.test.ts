import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { markedText, merge3 } from '../../../ts/reservations/merge/diff3.js';
import { newFolder } from './repositories.js';

interface Edit {
  at: number;
  takes: number;
  puts: number;
}

const edits = fc.array(fc.record({ at: fc.nat(40), takes: fc.nat(3), puts: fc.nat(3) }), { maxLength: 5 });

/** Every line that is put in is new, so that there is one best way to see what changed. */
function edited(base: readonly string[], side: string, all: readonly Edit[]): string[] {
  const lines = [...base];
  all.forEach(({ at, takes, puts }, i) => {
    const fresh = Array.from({ length: puts }, (_, line) => `${side} ${i} ${line}\n`);
    lines.splice(Math.min(at, lines.length), takes, ...fresh);
  });
  return lines;
}

it('lines are merged as git merges them, with the same conflicts', () => {
  const folder = newFolder();
  const base = Array.from({ length: 40 }, (_, i) => `line ${i}\n`);
  const labels = { ours: 'O', base: 'B', theirs: 'T' };
  fc.assert(
    fc.property(edits, edits, (oursEdits, theirsEdits) => {
      const texts = {
        base: base.join(''),
        ours: edited(base, 'ours', oursEdits).join(''),
        theirs: edited(base, 'theirs', theirsEdits).join(''),
      };
      for (const [name, text] of Object.entries(texts)) writeFileSync(path.join(folder, name), text);
      const args = ['merge-file', '-p', '--diff3', '-L', 'O', '-L', 'B', '-L', 'T', 'ours', 'base', 'theirs'];
      const byGit = spawnSync('git', args, { cwd: folder, encoding: 'utf8' });
      expect(markedText(merge3(texts.base, texts.ours, texts.theirs), labels)).toBe(byGit.stdout);
    }),
    { numRuns: 300 },
  );
});
