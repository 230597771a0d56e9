/** The parser and its grammars, loaded when they are first needed. */
import { createRequire } from 'node:module';
import path from 'node:path';
import type { Language, Parser, Query } from '@vscode/tree-sitter-wasm';

type TreeSitter = typeof import('@vscode/tree-sitter-wasm');

export interface Grammar {
  readonly parser: Parser;
  readonly query: Query;
}

const require = createRequire(import.meta.url);
const packageName = '@vscode/tree-sitter-wasm';

let treeSitter: Promise<TreeSitter> | undefined;
const languages = new Map<string, Promise<Language>>();
const grammars = new Map<string, Promise<Grammar>>();

/**
 * @param grammar name of the grammar: `python`.
 * @param query what to find in its trees.
 */
export function grammarOf(grammar: string, query: string): Promise<Grammar> {
  const key = `${grammar}\n${query}`;
  const known = grammars.get(key);
  if (known) return known;
  const loading = load(grammar, query);
  grammars.set(key, loading);
  // Who asks again after a failure gets another try.
  loading.catch(() => grammars.delete(key));
  return loading;
}

async function load(grammar: string, text: string): Promise<Grammar> {
  treeSitter ??= start();
  const { Parser, Query } = await treeSitter;
  const language = await languageOf(grammar, await treeSitter);
  const parser = new Parser();
  parser.setLanguage(language);
  return { parser, query: new Query(language, text) };
}

async function start(): Promise<TreeSitter> {
  // It is a CommonJS module that finds its own WASM file beside itself.
  const loaded = require(packageName) as TreeSitter;
  await loaded.Parser.init();
  return loaded;
}

function languageOf(grammar: string, loaded: TreeSitter): Promise<Language> {
  const known = languages.get(grammar);
  if (known) return known;
  const folder = path.dirname(require.resolve(packageName));
  const language = loaded.Language.load(path.join(folder, `tree-sitter-${grammar}.wasm`));
  languages.set(grammar, language);
  language.catch(() => languages.delete(grammar));
  return language;
}
