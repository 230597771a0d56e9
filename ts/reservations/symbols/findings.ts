/** What a language's query finds in a tree, as plain values. */
import type { Node, QueryCapture, QueryMatch } from '@vscode/tree-sitter-wasm';
import type { LanguageRules } from './language.js';
import { type ImportedName, type SymbolKind, symbolKinds } from './symbols.js';

/** A piece of text, and the lines that it is on. Lines begin at 1. */
export interface Span {
  start: number;
  end: number;
  startLine: number;
  endLine: number;
}

export interface FoundSymbol {
  readonly kind: SymbolKind;
  /** Its own name, nothing around it. */
  readonly name: string;
  readonly owner: string | undefined;
  readonly span: Span;
  /** Where the definition itself begins: after decorators, `export` and comments. */
  readonly head: number;
  /** Where its signature ends; undefined when it has none. */
  readonly bodyStart: number | undefined;
  /** For what is imported. */
  readonly imported: ImportedName | undefined;
}

export interface FoundCall {
  readonly at: number;
  readonly name: string;
  readonly receiver: string;
  readonly line: number;
}

export interface Findings {
  /** In order of their place; what is around others comes before them. */
  readonly symbols: readonly FoundSymbol[];
  readonly calls: readonly FoundCall[];
  readonly bases: readonly { readonly at: number; readonly name: string }[];
  readonly exports: readonly ImportedName[];
}

type Captures = ReadonlyMap<string, Node>;

interface Draft {
  readonly node: Node;
  readonly kind: SymbolKind;
  readonly captures: Captures;
  readonly imported?: ImportedName;
}

/** @param check throws when it has taken too long. */
export function findingsOf(
  matches: readonly QueryMatch[],
  comments: readonly QueryCapture[],
  language: LanguageRules,
  text: string,
  check: () => void,
): Findings {
  const drafts = new Map<string, Draft>();
  const calls: FoundCall[] = [];
  const bases: { at: number; name: string }[] = [];
  const exports: ImportedName[] = [];
  const ordered = [...matches].sort((a, b) => a.patternIndex - b.patternIndex);
  for (const match of ordered) {
    const captures: Captures = new Map(match.captures.map(({ name, node }) => [name, node]));
    const call = captures.get('call');
    const base = captures.get('base');
    if (call) calls.push(foundCall(call, captures));
    else if (base) bases.push({ at: base.startIndex, name: plainName(base) });
    else if (captures.has('export')) exports.push(passedOn(captures));
    else addDraft(drafts, captures, language);
  }
  const sorted = withoutParts([...drafts.values()].sort((a, b) => byPlace(spanOf(a.node), spanOf(b.node))));
  const above = commentsByLine(comments, text);
  const symbols = widened(sorted, language, above, check).sort((a, b) => byPlace(a.span, b.span));
  return { symbols, calls: calls.sort((a, b) => a.at - b.at), bases, exports };
}

/** Of two patterns for one node the first counts, but an import before anything else. */
function addDraft(drafts: Map<string, Draft>, captures: Captures, language: LanguageRules): void {
  const imported = captures.get('import');
  const draft = imported ? importDraft(imported, captures, language) : symbolDraft(captures);
  if (draft === undefined) return;
  const key = `${draft.node.startIndex}:${draft.node.endIndex}`;
  if (imported || !drafts.has(key)) drafts.set(key, draft);
}

function symbolDraft(captures: Captures): Draft | undefined {
  for (const kind of symbolKinds) {
    const node = captures.get(`symbol.${kind}`);
    if (node) return { node, kind, captures };
  }
  return undefined;
}

function importDraft(node: Node, captures: Captures, language: LanguageRules): Draft {
  return { node, kind: 'import', captures, imported: importedName(captures, language) };
}

function importedName(captures: Captures, language: LanguageRules): ImportedName {
  const text = (name: string) => captures.get(`import.${name}`)?.text;
  const module = unquoted(text('module') ?? '');
  const name = text('name');
  if (name !== undefined) return { local: text('alias') ?? name, imported: unquoted(name), module };
  if (captures.has('import.all')) return { local: '*', imported: '*', module };
  const standard = text('default');
  if (standard !== undefined) return { local: standard, imported: 'default', module };
  return { local: text('namespace') ?? language.moduleName(module), imported: '*', module };
}

function passedOn(captures: Captures): ImportedName {
  const text = (name: string) => captures.get(`export.${name}`)?.text;
  const module = unquoted(text('module') ?? '');
  const standard = text('default');
  if (standard !== undefined) return { local: 'default', imported: standard, module };
  const namespace = text('namespace');
  if (namespace !== undefined) return { local: namespace, imported: '*', module };
  const name = text('name') ?? '*';
  return { local: text('alias') ?? name, imported: name, module };
}

function foundCall(call: Node, captures: Captures): FoundCall {
  const receiver = captures.get('call.receiver');
  return {
    at: call.startIndex,
    name: captures.get('call.name')?.text ?? '',
    receiver: receiver ? plainName(receiver) : '',
    line: call.startPosition.row + 1,
  };
}

/** Dotted names as they are; `()` for the result of something else, whose kind the text does not say. */
function plainName(node: Node): string {
  // A chain of calls may be as long as the file.
  if (node.endIndex - node.startIndex > 200) return '()';
  const text = node.text.replace(/\?\.|!\./g, '.').replace(/\s+/g, '');
  if (text === 'super()') return 'super';
  return /^[\p{L}\p{N}_$.#]+$/u.test(text) ? text : '()';
}

/** What is imported in a pattern is no variable as well. */
function withoutParts(drafts: readonly Draft[]): Draft[] {
  let importEnd = 0;
  return drafts.filter(({ node, imported }) => {
    if (imported) importEnd = node.endIndex;
    return imported !== undefined || node.startIndex >= importEnd;
  });
}

/** Gives symbols what belongs to them around and above. */
function widened(
  drafts: readonly Draft[],
  language: LanguageRules,
  above: ReadonlyMap<number, Span>,
  check: () => void,
): FoundSymbol[] {
  const spans = drafts.map(({ node }) => spanOf(node));
  return drafts.map((draft, index) => {
    check();
    const span = outermost(draft.node, index, spans, language);
    if (draft.kind !== 'import') addComments(span, above);
    return {
      kind: draft.kind,
      name: ownName(draft),
      owner: draft.captures.get('owner')?.text,
      span,
      head: draft.node.startIndex,
      bodyStart: draft.captures.get('body')?.startIndex,
      imported: draft.imported,
    };
  });
}

function outermost(node: Node, index: number, spans: readonly Span[], language: LanguageRules): Span {
  let found = node;
  for (let parent = node.parent; parent; parent = parent.parent) {
    if (!language.wrappers.includes(parent.type)) break;
    if (!isAlone(index, spans, parent)) break;
    found = parent;
  }
  return spanOf(found);
}

/** Whether a wrapper has no other symbol than this one and what is inside of it. */
function isAlone(index: number, spans: readonly Span[], wrapper: Node): boolean {
  const own = spans[index];
  const before = spans[index - 1];
  if (own === undefined) return false;
  if (before && before.start >= wrapper.startIndex) return false;
  for (let next = index + 1; next < spans.length; next += 1) {
    const other = spans[next];
    if (other === undefined || other.start >= wrapper.endIndex) return true;
    if (other.start >= own.end) return false;
  }
  return true;
}

/** Comments that stand on lines of their own, by the line that they end on. */
function commentsByLine(comments: readonly QueryCapture[], text: string): Map<number, Span> {
  const byLine = new Map<number, Span>();
  for (const { node } of comments) {
    const span = spanOf(node);
    const lineStart = text.lastIndexOf('\n', span.start - 1) + 1;
    if (text.slice(lineStart, span.start).trim() === '') byLine.set(span.endLine, span);
  }
  return byLine;
}

/** Takes in the comments directly above, unless other code stands on the symbol's first line. */
function addComments(span: Span, above: ReadonlyMap<number, Span>): void {
  for (let next = above.get(span.startLine - 1); next; next = above.get(span.startLine - 1)) {
    span.start = next.start;
    span.startLine = next.startLine;
  }
}

function ownName({ captures, imported }: Draft): string {
  if (imported) return imported.local;
  const text = captures.get('name')?.text ?? 'default';
  return unquoted(text).replace(/\s+/g, ' ').slice(0, 200);
}

function unquoted(text: string): string {
  return text.replace(/^(["'`])([\s\S]*)\1$/, '$2').replace(/\s+/g, ' ');
}

function spanOf(node: Node): Span {
  return {
    start: node.startIndex,
    end: node.endIndex,
    startLine: node.startPosition.row + 1,
    endLine: node.endPosition.row + 1,
  };
}

export function byPlace(a: Span, b: Span): number {
  return a.start - b.start || b.end - a.end;
}
