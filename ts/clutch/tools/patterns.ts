/** What is searched for, and in which files. Expressions take time linear in the text, whoever has written them. Pure. */
import { RE2JS, RE2JSException } from 're2js';
import { refuse } from '../../arguments.js';

const mostPatternChars = 1000;

/** Whether a line is one of those that are looked for. */
export type LineTest = (line: string) => boolean;

export interface SearchOptions {
  /** The pattern is an expression in the syntax of RE2, no plain text. */
  readonly regex: boolean;
  readonly caseSensitive: boolean;
}

/** @throws StompError INVALID_REQUEST */
export function lineTest(pattern: string, { regex, caseSensitive }: SearchOptions): LineTest {
  if (pattern === '' || pattern.length > mostPatternChars) {
    refuse('pattern', pattern, `a text of 1 to ${mostPatternChars} characters`);
  }
  const flags = caseSensitive ? 0 : RE2JS.CASE_INSENSITIVE;
  const compiled = compile('pattern', pattern, regex ? pattern : RE2JS.quote(pattern), flags);
  return (line) => compiled.test(line);
}

/** Whether a path below the folder of the search, with `/` between its parts, is one of those that are meant. */
export type PathTest = (path: string) => boolean;

/**
 * `*` and `?` stay within one name, `**` goes through folders, `{a,b}` is a choice, `[a-z]` a set. A pattern without `/`
 * is for names, in whatever folder.
 * @throws StompError INVALID_REQUEST
 */
export function globTest(glob: string): PathTest {
  if (glob === '' || glob.length > mostPatternChars) {
    refuse('glob', glob, `a pattern of 1 to ${mostPatternChars} characters, such as "src/**/*.ts"`);
  }
  const whole = glob.includes('/') ? glob.replace(/^\//, '') : `**/${glob}`;
  const compiled = compile('glob', glob, `^(?:${globSource(whole)})$`, RE2JS.DOTALL);
  return (path) => compiled.test(path);
}

const globTokens = /\*\*\/|\*\*|\*|\?|\[!?[^\]/]+\]|[{},]|[^*?[{},]+|\[/g;

const fixedTokens: Readonly<Record<string, string>> = {
  '**/': '(?:[^/]+/)*',
  '**': '.*',
  '*': '[^/]*',
  '?': '[^/]',
};

function globSource(glob: string): string {
  let depth = 0;
  const source = (glob.match(globTokens) ?? []).map((token) => {
    depth += token === '{' ? 1 : 0;
    const inChoice = depth > 0;
    depth -= token === '}' && inChoice ? 1 : 0;
    return fixedTokens[token] ?? (inChoice ? choiceToken(token) : undefined) ?? plainToken(token);
  });
  return source.join('');
}

function choiceToken(token: string): string | undefined {
  return { '{': '(?:', '}': ')', ',': '|' }[token];
}

function plainToken(token: string): string {
  if (!/^\[.+\]$/.test(token)) return RE2JS.quote(token);
  const negated = token.startsWith('[!');
  const set = token.slice(negated ? 2 : 1, -1).replace(/[\\^[\]]/g, '\\$&');
  return `[${negated ? '^/' : ''}${set}]`;
}

function compile(field: string, written: string, source: string, flags: number): RE2JS {
  try {
    return RE2JS.compile(source, flags);
  } catch (error) {
    if (!(error instanceof RE2JSException)) throw error;
    return refuse(field, written, `a pattern that can be read (${error.message})`);
  }
}
