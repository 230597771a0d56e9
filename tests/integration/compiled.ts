/** The sources as JavaScript, so that many processes start fast without a build. */
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const repository = fileURLToPath(new URL('../../', import.meta.url));
const reservationParts = [
  'reservations',
  'config',
  'guard',
  'storage',
  'paths.ts',
  'arguments.ts',
  'errors.ts',
  'thread-flags.ts',
];

export interface Compiled {
  /** Of a module, for `import`. */
  url(module: string): string;
  remove(): void;
}

/** @param parts files and folders of the sources. @default what reservations need */
export function compiled(parts: readonly string[] = reservationParts): Compiled {
  const folder = mkdtempSync(join(tmpdir(), 'stomp-compiled-'));
  symlinkSync(join(repository, 'node_modules'), join(folder, 'node_modules'));
  cpSync(join(repository, 'package.json'), join(folder, 'package.json'));
  const names = readdirSync(join(repository, 'ts'), { recursive: true, encoding: 'utf8' });
  for (const name of names.filter((it) => it.endsWith('.ts') && parts.includes(it.split('/')[0] ?? ''))) {
    const target = join(folder, 'dist', name.replace(/\.ts$/, '.js'));
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, javascript(readFileSync(join(repository, 'ts', name), 'utf8')));
  }
  return {
    url: (module) => new URL(`file://${join(folder, 'dist', module)}`).href,
    remove: () => rmSync(folder, { recursive: true }),
  };
}

function javascript(source: string): string {
  const compilerOptions = {
    module: ts.ModuleKind.ESNext,
    target: ts.ScriptTarget.ES2022,
    verbatimModuleSyntax: true,
  };
  return ts.transpileModule(source, { compilerOptions }).outputText;
}
