/** Symbols of source files, whatever the language. */

export const symbolKinds = [
  'class',
  'interface',
  'enum',
  'type',
  'function',
  'method',
  'variable',
  'module',
  'import',
] as const;
export type SymbolKind = (typeof symbolKinds)[number];

/** A place in a file. Bytes are UTF-16 offsets of the text; lines begin at 1. */
export interface Range {
  readonly start: number;
  readonly end: number;
  readonly startLine: number;
  readonly endLine: number;
}

/** A call as the text says it. */
export interface CallSite {
  /** Last name: `save` of `user.save()`. */
  readonly name: string;
  /** What stands before it: `user` of `user.save()`, `this`, `self`, `pkg.mod`; empty for a bare call. */
  readonly receiver: string;
  readonly line: number;
}

export interface CodeSymbol {
  /** `User.save`, `compute_total`, `import::name`. Twins get `#2`, `#3`. */
  readonly name: string;
  readonly kind: SymbolKind;
  /** Decorators, export keywords and the doc comment directly above included. */
  readonly range: Range;
  /** Of the text of its range, without blank space at line ends; of an import, what it imports from where. */
  readonly bodyHash: string;
  /** Of name, parameters and result; for what has none, that of the body. */
  readonly signatureHash: string;
  /** Of the body with the symbol's own name taken out: renamed symbols keep it. */
  readonly shapeHash: string;
  readonly calls: readonly CallSite[];
  /** What a class is derived from, as the text says it. */
  readonly bases?: readonly string[];
}

/** A name taken from a module; among `exports`, one that is passed on. */
export interface ImportedName {
  /** Under which the file knows it; `*` for all of a module's names. */
  readonly local: string;
  /** In the module; `*` for the module itself; `default`. */
  readonly imported: string;
  /** As written: `./user.js`, `app.models`, `..models`, `example.com/x/pkg`; empty among `exports` for the file itself. */
  readonly module: string;
}

/** What is known of one file. */
export interface FileSymbols {
  readonly path: string;
  /** SHA-256 hex or git blob id. */
  readonly contentId: string;
  /** Undefined for files that no language here reads. */
  readonly language: string | undefined;
  /** In order of their place; a member comes after what it is in. */
  readonly symbols: readonly CodeSymbol[];
  readonly imports: readonly ImportedName[];
  /** Names under which others find what the file itself calls differently, or has from elsewhere. */
  readonly exports?: readonly ImportedName[];
  /** Calls outside of any symbol. */
  readonly calls: readonly CallSite[];
  /** Why only the file as a whole is known. */
  readonly problem?: string;
  /** What could not be read inside of functions, though all symbols are known. */
  readonly gap?: string;
}
