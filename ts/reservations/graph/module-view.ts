/** One file as others see it: its symbols by name, what it imports and passes on. */

import type { ModuleSystem } from '../symbols/language.js';
import { languageNamed } from '../symbols/languages.js';
import type { CodeSymbol, FileSymbols, ImportedName } from '../symbols/symbols.js';

/** Twins are one: what overloads, getters and setters do is done under one name. */
export function withoutTwins(name: string): string {
  return name.includes('#') ? name.replace(/#\d+(?=\.|$)/g, '') : name;
}

export class ModuleView {
  readonly path: string;
  readonly system: ModuleSystem;
  readonly file: FileSymbols;
  readonly imports: ReadonlyMap<string, ImportedName>;
  readonly exports: ReadonlyMap<string, ImportedName>;
  /** What it has all names of: those that it imports, and those that it passes on. */
  readonly stars: readonly ImportedName[];
  readonly #symbols = new Map<string, CodeSymbol>();

  constructor(file: FileSymbols) {
    const isStar = ({ local, imported }: ImportedName) => local === '*' && imported === '*';
    const exports = file.exports ?? [];
    this.path = file.path;
    this.file = file;
    this.system = languageNamed(file.language ?? '')?.modules ?? 'script';
    this.imports = new Map(file.imports.filter((one) => !isStar(one)).map((one) => [one.local, one]));
    this.exports = new Map(exports.filter((one) => !isStar(one)).map((one) => [one.local, one]));
    this.stars = [...file.imports, ...exports].filter(isStar);
    for (const symbol of file.symbols) {
      const name = withoutTwins(symbol.name);
      // What tells of a class comes first, whatever has the same name.
      if (symbol.kind !== 'import' && !this.#symbols.has(name)) this.#symbols.set(name, symbol);
    }
  }

  symbol(name: string): CodeSymbol | undefined {
    return this.#symbols.get(name);
  }

  names(): Iterable<string> {
    return this.#symbols.keys();
  }
}
