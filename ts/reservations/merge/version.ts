/** One file in one commit: its text and what is known of its symbols. */
import type { CodeSymbol, FileSymbols } from '../symbols/symbols.js';

/** Reads the symbols of a text. */
export type SymbolsOf = (path: string, text: string) => Promise<FileSymbols>;

export class FileVersion {
  readonly path: string;
  readonly text: string;
  readonly known: FileSymbols;
  /** Without imports, which are not changed but come and go. */
  readonly symbols: ReadonlyMap<string, CodeSymbol>;
  readonly #members = new Map<string, CodeSymbol[]>();

  constructor(path: string, text: string, known: FileSymbols) {
    this.path = path;
    this.text = text;
    this.known = known;
    const own = known.symbols.filter(({ kind }) => kind !== 'import');
    this.symbols = new Map(own.map((symbol) => [symbol.name, symbol]));
    for (const symbol of own) {
      const parent = parentName(symbol.name);
      if (parent === undefined || !this.isMember(symbol)) continue;
      this.#members.set(parent, [...(this.#members.get(parent) ?? []), symbol]);
    }
  }

  static async read(path: string, text: string, symbolsOf: SymbolsOf): Promise<FileVersion> {
    return new FileVersion(path, text, await symbolsOf(path, text));
  }

  /** Only the file as a whole is known. */
  get isOpaque(): boolean {
    return this.known.language === undefined || this.known.problem !== undefined;
  }

  /** Whether it lies in what its name says; methods of Go, and of prototypes, lie apart from their type. */
  isMember({ name, range }: CodeSymbol): boolean {
    const outer = this.symbols.get(parentName(name) ?? '')?.range;
    return outer !== undefined && outer.start <= range.start && range.end <= outer.end;
  }

  /** Whether others of its name may be elsewhere in the file: in a block of its own, which is no symbol itself. */
  isLocal({ name, range }: CodeSymbol): boolean {
    const hasBlocks = ['javascript', 'typescript', 'tsx'].includes(this.known.language ?? '');
    const lineStart = this.text.lastIndexOf('\n', range.start - 1) + 1;
    return hasBlocks && parentName(name) === undefined && lineStart < range.start;
  }

  members(name: string): readonly CodeSymbol[] {
    return this.#members.get(name) ?? [];
  }

  textOf({ range }: CodeSymbol): string {
    return this.text.slice(range.start, range.end);
  }

  /** What tells whether a symbol itself was edited: of what has members, the text around them. */
  ownText(symbol: CodeSymbol): string {
    const members = this.members(symbol.name);
    if (members.length === 0) return symbol.bodyHash;
    let text = '';
    let at = symbol.range.start;
    for (const { range } of members) {
      text += this.text.slice(at, Math.max(at, range.start));
      at = Math.max(at, range.end);
    }
    text += this.text.slice(at, symbol.range.end);
    const lines = text.split('\n').map((line) => line.trim());
    return lines.filter((line) => line !== '').join('\n');
  }

  /**
   * The innermost symbols that lie in lines `[start, end)`, counted from 0, imports among them; an empty stretch is what
   * follows it. What only comments lead to is named, too.
   */
  symbolsAt(start: number, end: number): CodeSymbol[] {
    const last = Math.max(end, start + 1);
    const touched = this.known.symbols.filter(
      ({ range }) => range.startLine - 1 < last && range.endLine > start,
    );
    const hasInner = (outer: CodeSymbol) =>
      touched.some((inner) => parentName(inner.name) === outer.name && this.isMember(inner));
    if (touched.length === 0) return this.#commentedAt(start);
    return touched.filter((symbol) => !hasInner(symbol));
  }

  /** The symbol to which nothing but comments and blank lines lead from a line on. */
  #commentedAt(start: number): CodeSymbol[] {
    const next = this.known.symbols.find(({ range }) => range.startLine - 1 > start);
    if (!next) return [];
    const between = this.text.split('\n').slice(start, next.range.startLine - 1);
    return between.every((line) => /^\s*(\/\/|\/?\*|#|$)/.test(line)) ? [next] : [];
  }
}

/** `A.b` of `A.b.c`. */
export function parentName(name: string): string | undefined {
  const dot = name.lastIndexOf('.');
  return dot > 0 ? name.slice(0, dot) : undefined;
}

/** `A.b.c` of `A.b#3.c#2`: one name for all who share it. */
export function sharedName(name: string): string {
  return name.replace(/#\d+(?=\.|$)/g, '');
}

/** Puts another name for one in a text, where it stands as a whole word. */
export function withName(text: string, name: string, other: string): string {
  return renamed(text, name, other, 'gu');
}

/** The same, only where it stands first. */
export function withFirstName(text: string, name: string, other: string): string {
  return renamed(text, name, other, 'u');
}

function renamed(text: string, name: string, other: string, flags: string): string {
  if (name === other || name === '') return text;
  const escaped = name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const word = new RegExp(`(?<![\\p{L}\\p{N}_$])${escaped}(?![\\p{L}\\p{N}_$])`, flags);
  return text.replace(word, () => other);
}
