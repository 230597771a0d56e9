/** What a language is: names of its files, a grammar, and a query that says what its symbols are. */

/** How files find each other: by dotted names, by relative paths, or by the folders that make up packages. */
export type ModuleSystem = 'python' | 'script' | 'go';

/**
 * Captures of a query, each pattern a thing of its own:
 * - `@symbol.<kind>` the definition, with `@name`; `@body` where its signature ends; `@owner` the name of the type
 *   that it belongs to when it stands outside of it. Of two patterns for one node the first counts.
 * - `@base` what the class around it is derived from.
 * - `@default` around a `@symbol` that has no name of its own.
 * - `@call` with `@call.name`, and `@call.receiver` when something stands before it.
 * - `@import` what to cut out, `@import.module`, and one of `@import.name` (with `@import.alias` or without),
 *   `@import.all` (everything, under its own names), `@import.default`, `@import.namespace` (the module itself).
 * - `@export` in the same way, with `@export.name`, `@export.alias`, `@export.module`, `@export.all`,
 *   `@export.default`.
 */
export interface LanguageRules {
  readonly name: string;
  /** To be raised with every change that gives other symbols: what is cached is read anew then. */
  readonly version: number;
  readonly extensions: readonly string[];
  readonly grammar: string;
  readonly query: string;
  /** Kinds of nodes that belong to the one definition inside of them: `export`, decorators. */
  readonly wrappers: readonly string[];
  /** Kinds of nodes with a `body` that is a function's. */
  readonly functions: readonly string[];
  readonly comments: readonly string[];
  /** Name under which a module is known that is imported without one: `fmt` of `golang.org/x/fmt`. */
  moduleName(module: string): string;
  readonly modules: ModuleSystem;
}
