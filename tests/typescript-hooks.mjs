/** Hooks of node's module loader: sources are found under the names that they have once compiled. */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const sources = new URL('../ts/', import.meta.url).href;

export async function resolve(specifier, context, next) {
  const url = specifier.startsWith('file:') ? new URL(specifier) : relative(specifier, context.parentURL);
  if (url?.href.startsWith(sources) && url.pathname.endsWith('.js')) {
    url.pathname = url.pathname.replace(/\.js$/, '.ts');
    if (existsSync(url)) return { url: url.href, format: 'module', shortCircuit: true };
  }
  return next(specifier, context);
}

export async function load(url, context, next) {
  if (!url.startsWith(sources) || !url.endsWith('.ts')) return next(url, context);
  const { outputText } = ts.transpileModule(readFileSync(fileURLToPath(url), 'utf8'), {
    compilerOptions: {
      module: ts.ModuleKind.ESNext,
      target: ts.ScriptTarget.ES2022,
      verbatimModuleSyntax: true,
    },
  });
  return { source: outputText, format: 'module', shortCircuit: true };
}

function relative(specifier, parent) {
  return specifier.startsWith('.') && parent !== undefined ? new URL(specifier, parent) : undefined;
}
