/** A text cut into what can be merged by itself: symbols, the heads and tails of what has members, imports. Pure. */
import type { CodeSymbol } from '../symbols/symbols.js';
import { linesOf } from './diff3.js';
import { importKey } from './import-lists.js';
import type { FileVersion } from './version.js';

export interface Unit {
  /** Name of the symbol; `#tail` after it for what follows its members; `import …`; `#end` for the end of the file. */
  readonly key: string;
  readonly isImport: boolean;
  /** What lies between it and the unit before: blank lines, comments, statements. */
  readonly lead: string;
  readonly text: string;
}

/** Together they are the text. */
export function unitsOf(version: FileVersion): Unit[] {
  const cutter = new Cutter(version);
  return cutter.cut();
}

class Cutter {
  readonly #version: FileVersion;
  readonly #lines: string[];
  readonly #units: Unit[] = [];
  readonly #seen = new Map<string, number>();
  /** The first line that is in no unit yet. */
  #at = 0;

  constructor(version: FileVersion) {
    this.#version = version;
    this.#lines = linesOf(version.text);
  }

  cut(): Unit[] {
    const isTop = (symbol: CodeSymbol) => symbol.kind === 'import' || !this.#version.isMember(symbol);
    for (const symbol of this.#version.known.symbols.filter(isTop)) this.#add(symbol);
    this.#push('#end', this.#at, this.#lines.length);
    return this.#units;
  }

  #add(symbol: CodeSymbol): void {
    const [start, end] = [symbol.range.startLine - 1, this.#endOf(symbol)];
    const key = symbol.kind === 'import' ? importKey(this.#join(start, end)) : symbol.name;
    const members = this.#separable(symbol, end);
    if (start < this.#at) this.#extend(key, end);
    else if (members.length === 0) this.#push(key, start, end, symbol.kind === 'import');
    else {
      this.#push(key, start, (members[0]?.range.startLine ?? 1) - 1);
      for (const member of members) this.#add(member);
      // Its lines belong to it, whatever they are; nothing leads to them.
      this.#push(`${symbol.name}#tail`, this.#at, end);
    }
  }

  /** The line after its last one; a range may end at the beginning of a line. */
  #endOf({ range }: CodeSymbol): number {
    const endsBefore = range.end > range.start && this.#version.text[range.end - 1] === '\n';
    return Math.min(this.#lines.length, endsBefore ? range.endLine - 1 : range.endLine);
  }

  /** Members that share no line with what they are in; none if one of them does. */
  #separable(symbol: CodeSymbol, end: number): readonly CodeSymbol[] {
    const members = this.#version.members(symbol.name);
    const text = this.#version.text;
    const isApart = (member: CodeSymbol) =>
      member.range.startLine > symbol.range.startLine &&
      this.#endOf(member) <= end &&
      /^[ \t]*;?[ \t]*(\r?\n|$)/.test(text.slice(lastOf(member, text)));
    return members.every(isApart) ? members : [];
  }

  #push(key: string, start: number, end: number, isImport = false): void {
    const count = (this.#seen.get(key) ?? 0) + 1;
    this.#seen.set(key, count);
    this.#units.push({
      key: count > 1 ? `${key} (${count})` : key,
      isImport,
      lead: this.#join(this.#at, start),
      text: this.#join(start, end),
    });
    this.#at = Math.max(this.#at, end);
  }

  /** What begins on the last line of the unit before is one with it. */
  #extend(key: string, end: number): void {
    const last = this.#units.pop();
    if (!last) return;
    const more = end > this.#at ? this.#join(this.#at, end) : '';
    const isSame = last.isImport && more === '';
    this.#units.push({ ...last, key: isSame ? last.key : `${last.key}+${key}`, text: last.text + more });
    this.#at = Math.max(this.#at, end);
  }

  #join(start: number, end: number): string {
    return this.#lines.slice(start, end).join('');
  }
}

function lastOf({ range }: CodeSymbol, text: string): number {
  return text[range.end - 1] === '\n' ? range.end - 1 : range.end;
}
