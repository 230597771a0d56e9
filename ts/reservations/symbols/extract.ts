/** From the text of a file to its symbols. */
import type { QueryCapture, QueryMatch, Tree } from '@vscode/tree-sitter-wasm';
import { importName, lastName } from './address.js';
import { damageIn } from './damage.js';
import { type Findings, type FoundCall, type FoundSymbol, findingsOf } from './findings.js';
import { type Grammar, grammarOf } from './grammars.js';
import { bodyHash, hashText, shapeHash, signatureHash } from './hashes.js';
import type { LanguageRules } from './language.js';
import type { CallSite, CodeSymbol, FileSymbols } from './symbols.js';

/** What a file's content says, wherever it lies. */
export type Content = Omit<FileSymbols, 'path' | 'contentId'>;

export interface ExtractOptions {
  /** How long one file may take; 10 seconds by default. */
  readonly timeoutMs?: number;
}

const defaultTimeoutMs = 10_000;

const tooLongFor = 'It took longer than';
/** How the problem of a file begins over which the parser itself broke down. */
export const parserEnded = 'The parser ended over it';

class TooLong extends Error {}

/** Files that cannot be read symbol by symbol come back with a `problem` and nothing else. */
export async function extract(
  text: string,
  language: LanguageRules,
  { timeoutMs = defaultTimeoutMs }: ExtractOptions = {},
): Promise<Content> {
  const comments = language.comments.map((kind) => `(${kind}) @comment`).join('\n');
  const grammar = await grammarOf(language.grammar, `${language.query}\n${comments}`);
  const deadline = performance.now() + timeoutMs;
  const check = () => {
    if (performance.now() > deadline) throw new TooLong();
  };
  try {
    return contentOf(text, language, grammar, check);
  } catch (error) {
    if (!(error instanceof TooLong)) throw error;
    return fileLevel(language.name, `${tooLongFor} ${timeoutMs} ms to read.`);
  }
}

/** Whether the same content would be read in the same way again; a busy machine may be to blame for some. */
export function isLasting({ problem = '' }: Content): boolean {
  return !problem.startsWith(tooLongFor) && !problem.startsWith(parserEnded);
}

export function fileLevel(language: string | undefined, problem: string): Content {
  return { language, symbols: [], imports: [], calls: [], problem };
}

function contentOf(text: string, language: LanguageRules, grammar: Grammar, check: () => void): Content {
  const tree = parse(text, grammar, check);
  try {
    return read(tree, text, language, grammar, check);
  } finally {
    tree.delete();
  }
}

function read(
  tree: Tree,
  text: string,
  language: LanguageRules,
  grammar: Grammar,
  check: () => void,
): Content {
  const damage = damageIn(tree.rootNode, language.functions);
  check();
  const [first] = damage;
  const worst = damage.find(({ isContained }) => !isContained);
  if (worst)
    return fileLevel(language.name, `It does not parse as ${language.name}, near line ${worst.line}.`);
  const matches = grammar.query.matches(tree.rootNode, stopping(check));
  check();
  const [found, comments] = splitComments(matches);
  const findings = findingsOf(found, comments, language, text, check);
  const content = assemble(findings, text, language.name, check);
  return first ? { ...content, gap: `Near line ${first.line} it does not parse.` } : content;
}

function parse(text: string, { parser }: Grammar, check: () => void): Tree {
  // A parse that was broken off would go on with the next text.
  parser.reset();
  const tree = parser.parse(text, null, stopping(check));
  check();
  if (tree) return tree;
  throw new TooLong();
}

/** The parser asks now and then whether to stop. Errors must not pass through it. */
function stopping(check: () => void): { progressCallback: () => boolean } {
  return {
    progressCallback: () => {
      try {
        check();
        return false;
      } catch {
        return true;
      }
    },
  };
}

function splitComments(matches: readonly QueryMatch[]): [QueryMatch[], QueryCapture[]] {
  const found: QueryMatch[] = [];
  const comments: QueryCapture[] = [];
  for (const match of matches) {
    const [first] = match.captures;
    if (first?.name === 'comment') comments.push(first);
    else found.push(match);
  }
  return [found, comments];
}

interface Open {
  readonly found: FoundSymbol;
  readonly name: string;
  readonly calls: CallSite[];
  readonly bases: string[];
}

function assemble(findings: Findings, text: string, language: string, check: () => void): Content {
  const outside: CallSite[] = [];
  const all = named(findings.symbols);
  hand(findings.calls, all, (call, to) => (to?.calls ?? outside).push(siteOf(call)), isCode);
  hand(findings.bases, all, ({ name }, to) => to?.bases.push(name), isClass);
  const symbols = all.map((open) => {
    check();
    return symbolOf(open, text);
  });
  const imports = findings.symbols.flatMap(({ imported }) => imported ?? []);
  const content = { language, symbols, imports, calls: outside };
  return findings.exports.length > 0 ? { ...content, exports: findings.exports } : content;
}

/** Gives symbols their qualified names; those who share one are numbered. */
function named(symbols: readonly FoundSymbol[]): Open[] {
  const around: Open[] = [];
  const counts = new Map<string, number>();
  return symbols.map((found) => {
    for (let last = around.at(-1); last && last.found.span.end <= found.span.start; last = around.at(-1))
      around.pop();
    const full = qualified(found, around.at(-1)?.name);
    const count = (counts.get(full) ?? 0) + 1;
    counts.set(full, count);
    const open = { found, name: count > 1 ? `${full}#${count}` : full, calls: [], bases: [] };
    around.push(open);
    return open;
  });
}

function qualified({ imported, owner, name }: FoundSymbol, around: string | undefined): string {
  if (imported) return importName(name);
  const outer = owner ?? around;
  return outer === undefined ? name : `${outer}.${name}`;
}

/** Hands each thing to the innermost symbol around it that may have it. */
function hand<T extends { readonly at: number }>(
  things: readonly T[],
  symbols: readonly Open[],
  give: (thing: T, to: Open | undefined) => void,
  may: (open: Open) => boolean,
): void {
  const around: Open[] = [];
  let next = 0;
  for (const thing of [...things].sort((a, b) => a.at - b.at)) {
    for (let open = symbols[next]; open && open.found.span.start <= thing.at; open = symbols[next]) {
      next += 1;
      if (may(open)) around.push(open);
    }
    const inside = around.filter(({ found }) => found.span.end > thing.at);
    around.splice(0, around.length, ...inside);
    give(thing, around.at(-1));
  }
}

const isCode = ({ found }: Open) => found.kind !== 'import';
const isClass = ({ found }: Open) => found.kind === 'class' || found.kind === 'interface';

function siteOf({ name, receiver, line }: FoundCall): CallSite {
  return { name, receiver, line };
}

function symbolOf({ found, name, calls, bases }: Open, text: string): CodeSymbol {
  const symbol = { name, kind: found.kind, range: found.span, calls, ...hashesOf(found, name, text) };
  return bases.length > 0 ? { ...symbol, bases } : symbol;
}

function hashesOf({ imported, span, head, bodyStart }: FoundSymbol, name: string, text: string) {
  if (imported) {
    const { module, imported: from, local } = imported;
    const whole = hashText(JSON.stringify([module, from, local]));
    const shape = hashText(JSON.stringify([module, from]));
    return { bodyHash: whole, signatureHash: whole, shapeHash: shape };
  }
  const body = text.slice(span.start, span.end);
  const whole = bodyHash(body);
  const signature = bodyStart === undefined ? whole : signatureHash(text.slice(head, bodyStart));
  return { bodyHash: whole, signatureHash: signature, shapeHash: shapeHash(body, lastName(name)) };
}
