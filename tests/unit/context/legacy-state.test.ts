import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, expect, it } from 'vitest';
import { legacyStateOf } from '../../../ts/context/legacy-state.js';
import { checkProjectName } from '../../../ts/context/project-input.js';
import type { Members } from '../../../ts/context/state-file.js';
import { StompError } from '../../../ts/errors.js';

const home = realpathSync(mkdtempSync(join(tmpdir(), 'stomp-legacy-state-')));
afterAll(() => rmSync(home, { recursive: true }));

const text = fc.string({ unit: 'binary', maxLength: 20 });
const said = fc.record(
  {
    root: fc.oneof(fc.constantFrom(home, '/', '.', '..', `${home}/none`), fc.jsonValue()),
    progress_log: fc.oneof(fc.constantFrom('log.md', '../log.md', '/log.md', 'docs/', '.'), fc.jsonValue()),
    description: fc.oneof(text, fc.jsonValue()),
    tags: fc.oneof(fc.array(text), fc.jsonValue()),
    docs: fc.jsonValue(),
  },
  { requiredKeys: [] },
);
const name = fc.oneof(fc.constantFrom('a', 'b', '__proto__', 'constructor', '..', 'a/b'), text);
const state = fc.record(
  {
    current_project: fc.oneof(name, fc.jsonValue()),
    projects: fc.oneof(fc.dictionary(name, fc.oneof(said, fc.jsonValue())), fc.jsonValue()),
    format: fc.oneof(fc.constant(1), fc.jsonValue()),
  },
  { requiredKeys: [] },
);

it('makes of any state file projects that may be created, or says what is wrong with it', async () => {
  let made = 0;
  await fc.assert(
    fc.asyncProperty(state, async (content) => {
      const members = JSON.parse(JSON.stringify(content)) as Members;
      const found = await legacyStateOf(members, { path: 'state.json', home, roots: [home] }).catch(
        (error: StompError) => error,
      );
      if (found instanceof StompError) expect(found.code).toBe('STATE_INVALID');
      else if (found !== undefined) {
        expect(found).toHaveProperty('projects.0.0.name', found.currentProject);
        for (const way of found.projects.flat()) {
          made++;
          expect(checkProjectName(way.name)).toBe(way.name);
          expect(`${way.root}/`.startsWith(`${home}/`)).toBe(true);
          expect(way.progress_log_path.startsWith(`${way.root}/`)).toBe(true);
          expect(JSON.stringify(way)).not.toContain('\\u0000');
        }
      }
    }),
    { numRuns: 500 },
  );
  expect(made).toBeGreaterThan(100);
});
