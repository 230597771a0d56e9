/** The checks of the documentation find what is planted, at its line, and nothing in what is right. */
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { blockFaults } from '../../../scripts/docs/blocks.mjs';
import { configurationPage } from '../../../scripts/docs/configuration.mjs';
import { linkFaults } from '../../../scripts/docs/links.mjs';
import { anchorOf, readPage } from '../../../scripts/docs/markdown.mjs';
import { commandsIn, typedIn } from '../../../scripts/docs/shell.mjs';
import { spellingFaults } from '../../../scripts/docs/spelling.mjs';

const root = join(import.meta.dirname, '../../..');
const block = (language: string, text: string) => `# Page\n\n\`\`\`${language}\n${text}\n\`\`\`\n`;
const faultsIn = (language: string, text: string) =>
  blockFaults([readPage('p.md', block(language, text))], root);

describe('blocks of code', () => {
  it.each([
    ['js', 'const = 2;', 4, 'expected'],
    ['js', "import { Nope } from 'stomp-serve/guard';", 4, "no exported member 'Nope'"],
    ['js', "import { Maasl } from 'stomp-serve/guards';", 4, 'Cannot find module'],
    [
      'mjs',
      "import { Maasl } from 'stomp-serve/guard';\nawait Maasl.opn({});",
      5,
      "Property 'opn' does not exist",
    ],
    ['js', "import { Maasl } from 'stomp-serve/guard';\nawait Maasl.open({ databse: 'x' });", 5, 'databse'],
    [
      'js',
      "import { Maasl } from 'stomp-serve/guard';\nasync () => {\n  await using maasl = await Maasl.open();\n};",
      6,
      'a SyntaxError before Node 24',
    ],
    ['mjs', 'using file = opened();', 4, 'a SyntaxError before Node 24'],
    ['ts', 'const port: number = "8000";', 4, "not assignable to type 'number'"],
    ['ts', 'unknownName();', 4, "Cannot find name 'unknownName'"],
    ['sh', 'if true', 4, 'syntax error'],
    ['sh', 'npx stomp-serve --prt 8000', 4, '--prt is not a flag of serve'],
    ['sh', 'echo a && stomp-serve keys new --host b', 4, '--host does not apply to keys'],
    ['sh', 'stomp-serve sreve', 4, '"sreve" is not a command'],
    ['sh', 'stomp-serve context append x --agnt ann', 4, '--agnt is not a flag of context append'],
    ['sh', 'npm run no-such-script', 4, 'npm has no script no-such-script'],
    [
      'console',
      '$ stomp-serve reserve a.ts::b \\\n    --run-di ann\nwhat it says',
      4,
      '--run-di is not a flag',
    ],
    ['json', '{"a": }', 4, 'JSON'],
    ['toml', 'a = ', 4, 'TOML'],
    ['yaml', 'a: [1', 4, 'Flow sequence'],
    ['mermaid', 'flowchart TB\n  a --> --> b', 4, 'Parse error'],
    ['mermaid', 'nonsense', 4, 'No diagram type'],
    ['jvascript', '1', 4, 'nothing checks'],
  ])('of %s: %j is found', async (language, text, line, said) => {
    const faults = await faultsIn(language, text);
    expect(faults).toHaveLength(1);
    expect(faults[0]).toMatch(new RegExp(`^p\\.md:${line}: `));
    expect(faults[0]).toContain(said);
  });

  it.each([
    [
      'js',
      "import { Maasl } from 'stomp-serve/guard';\nconst maasl = await Maasl.open();\nlater(maasl.locks);",
    ],
    [
      'ts',
      "import { Engine } from 'stomp-serve';\nconst load: Promise<Engine> = Engine.load('x');\nawait load;",
    ],
    ['sh', 'umask 077; npx stomp-serve keys new --role admin ops >> keys.txt # mine\nnpm start -- --port 0'],
    ['console', '$ stomp-serve keys new ann\n--nonsense that it says'],
    ['mermaid', 'sequenceDiagram\n  A->>B: hello'],
    ['text', '--anything {'],
  ])('of %s: %j is right', async (language, text) => {
    expect(await faultsIn(language, text)).toEqual([]);
  });
});

describe('links', () => {
  const folder = mkdtempSync(join(tmpdir(), 'stomp-docs-'));
  mkdirSync(join(folder, 'docs'));
  writeFileSync(join(folder, 'docs/b.md'), '');
  const faults = (text: string) =>
    linkFaults(
      [readPage('docs/a.md', text), readPage('docs/b.md', '## Who, and `what`?\n## Twice\n## Twice\n')],
      folder,
    );

  it.each([
    ['[x](c.md)', 'leads to nothing'],
    ['[x](b.md#why)', 'leads to no heading'],
    ['[x](#own)', 'leads to no heading'],
    ['[x](../../y)', 'leads out of the repository'],
    ['[x]: c.md', 'leads to nothing'],
  ])('%s is found', (text, said) => {
    expect(faults(`\n${text}\n`)).toEqual([expect.stringMatching(new RegExp(`^docs/a\\.md:2: .*${said}`))]);
  });

  it('that lead somewhere are right, and so is what only looks like one', () => {
    const text =
      '# Own\n[a](b.md) [b](b.md#who-and-what) [c](#own) [d](b.md#twice-1) `[e](f)` [g](https://h.test/#i)\n```\n[j](k)\n```\n';
    expect(faults(text)).toEqual([]);
  });

  it('have the anchors that GitHub gives', () => {
    expect(anchorOf('Keys, limits, remote')).toBe('keys-limits-remote');
    expect(anchorOf('The `x` of [y](z.md)')).toBe('the-x-of-y');
  });
});

describe('spelling', () => {
  const faults = (text: string, own: string[] = []) => spellingFaults([readPage('p.md', text)], own);

  it('finds a word that is none, and the line', () => {
    expect(faults('Fine.\nThis is rihgt.\n')).toEqual([expect.stringMatching(/^p\.md:2: is "rihgt" a word/)]);
  });

  it('is that of prose alone', () => {
    expect(
      faults('`codde` PostgreSQL v1.2 file.mjs [link](somme.md) https://exampel.test\n```\nwrogn\n```\n'),
    ).toEqual([]);
  });

  it('knows the words of the project, in either case, and names those that nobody needs', () => {
    expect(faults('Mutex and safetensors.', ['mutex', 'safetensors', 'idle'])).toEqual([
      'scripts/docs/words.txt: no page needs "idle"',
    ]);
  });
});

describe('scripts', () => {
  it('are read as commands, with quotes, pipes, substitutions and here-documents', () => {
    const script =
      'A=1 stomp-serve run "a; b" | tee log; X="$(echo c)" curl -d \'{"a": 1}\' > out\ncat <<E\nstomp-serve no\nE\nls';
    expect(commandsIn(script)).toEqual([
      ['stomp-serve', 'run', 'a; b'],
      ['tee', 'log'],
      ['curl', '-d', '{"a": 1}'],
      ['cat'],
      ['ls'],
    ]);
  });

  it('are what is typed in a transcript, open quotes included', () => {
    expect(typedIn("$ a 'b\nc' d\nsaid\n$ e \\\n  f\nsaid")).toBe("a 'b\nc' d\ne \\\n  f");
  });
});

describe('docs/configuration.md', () => {
  it('is made anew between its marks, and says so when they are gone', () => {
    const fresh = configurationPage(
      'a <!-- Made from ts/config/schema.ts by `npm run docs:check -- --write`; not to be changed by hand. -->WAS HERE<!-- End of what is made. --> z',
    );
    expect(fresh).toMatch(/^a [\s\S]*--port[\s\S]* z$/);
    expect(fresh).not.toContain('WAS HERE');
    expect(configurationPage(fresh)).toBe(fresh);
    expect(() => configurationPage('nothing')).toThrow('marks');
  });
});
