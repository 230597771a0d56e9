/**
 * JavaScript and TypeScript of the pages, against the declarations in `dist`. A block of `ts` has to compile. One of
 * `js` or `mjs` may use what the page has made before, so names that it does not know are taken as they are: it has
 * to parse on the oldest Node that the package takes, and what it imports, calls and passes has to be there.
 */
import { join } from 'node:path';
import ts from 'typescript';

/** What is held against a block of JavaScript: the rest of the codes are about types, which it does not write. */
const ofJavaScript = new Set([
  1192, // no default export
  2305, // no exported member
  2307, // no such module
  2339, // no such property
  2345, // an argument of another type
  2353, // an unknown field in an object
  2551, // no such property; did you mean
  2554, // another number of arguments
  2561, // an unknown field; did you mean
  2614, // no exported member; did you mean the default
  2724, // no exported member; did you mean
  2769, // no overload takes this
]);
const options = {
  target: ts.ScriptTarget.ES2022,
  lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts', 'lib.dom.d.ts'],
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  types: ['node'],
  strict: true,
  noImplicitAny: false,
  allowJs: true,
  checkJs: true,
  skipLibCheck: true,
  noEmit: true,
};

/**
 * @param {{ path: string, block: import('./markdown.mjs').Block }[]} found
 * @param {string} root of the package
 * @returns {{ index: number, line: number, message: string }[]} `line` counts from the block's first as 0
 */
export function programFaults(found, root) {
  const texts = new Map(found.map(({ block }, index) => [nameOf(index, block, root), block.text]));
  const host = ts.createCompilerHost(options);
  const { fileExists, readFile, getSourceFile } = host;
  host.getCurrentDirectory = () => root;
  host.fileExists = (file) => texts.has(file) || fileExists(file);
  host.readFile = (file) => texts.get(file) ?? readFile(file);
  host.getSourceFile = (file, ...rest) => {
    const text = texts.get(file);
    // Each block is a module, though it may import nothing.
    return text === undefined
      ? getSourceFile(file, ...rest)
      : ts.createSourceFile(file, `${text}\nexport {};\n`, ...rest);
  };
  const program = ts.createProgram([...texts.keys()], options, host);
  return [...texts.keys()].flatMap((file, index) =>
    diagnosticsOf(program, file).map((one) => ({ index, ...one })),
  );
}

function nameOf(index, { language }, root) {
  return join(root, 'docs', `block-${index}.${language === 'ts' ? 'mts' : 'mjs'}`);
}

/** The first error of syntax alone: what follows from it says nothing. */
function diagnosticsOf(program, file) {
  const source = program.getSourceFile(file);
  const syntax = [...program.getSyntacticDiagnostics(source), ...tooNew(source)];
  const found = syntax.length > 0 ? syntax.slice(0, 1) : meaningOf(program, source);
  return found.map((one) => ({
    line: source.getLineAndCharacterOfPosition(one.start ?? 0).line,
    message: ts.flattenDiagnosticMessageText(one.messageText, ' ').split('\n')[0],
  }));
}

/** `using` and `await using`, which the compiler takes and Node takes from 24 on. Nobody compiles JavaScript first. */
function tooNew(source) {
  if (source.fileName.endsWith('.mts')) return [];
  const found = [];
  const look = (node) => {
    // Using is one bit of AwaitUsing; the other one is that of const.
    if (ts.isVariableDeclarationList(node) && node.flags & ts.NodeFlags.Using)
      found.push({ start: node.getStart(source), messageText: '`using` is a SyntaxError before Node 24' });
    ts.forEachChild(node, look);
  };
  look(source);
  return found;
}

function meaningOf(program, source) {
  const all = program.getSemanticDiagnostics(source);
  return source.fileName.endsWith('.mts') ? all : all.filter(({ code }) => ofJavaScript.has(code));
}
