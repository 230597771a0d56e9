/** From the name of a module, as a file writes it, to the files of the repository that are meant. */
import { posix } from 'node:path';
import type { ModuleSystem } from '../symbols/language.js';

/** Paths of the repository's source files, arranged for looking up. */
export class FilePaths {
  readonly #all: ReadonlySet<string>;
  /** By the last part of the path. */
  readonly #byName = new Map<string, string[]>();
  /** Go files, by their folder; and the folders by the last part of their paths. */
  readonly #goFiles = new Map<string, string[]>();
  readonly #goFolders = new Map<string, string[]>();

  constructor(paths: readonly string[]) {
    this.#all = new Set(paths);
    for (const path of paths) {
      push(this.#byName, posix.basename(path), path);
      if (path.endsWith('.go')) push(this.#goFiles, folderOf(path), path);
    }
    for (const folder of this.#goFiles.keys()) push(this.#goFolders, posix.basename(folder), folder);
  }

  has(path: string): boolean {
    return this.#all.has(path);
  }

  named(name: string): readonly string[] {
    return this.#byName.get(name) ?? [];
  }

  goFiles(folder: string): readonly string[] {
    return this.#goFiles.get(folder) ?? [];
  }

  goFolders(name: string): readonly string[] {
    return this.#goFolders.get(name) ?? [];
  }
}

/** @returns no file for what is not in the repository. */
export function filesOfModule(
  system: ModuleSystem,
  module: string,
  from: string,
  paths: FilePaths,
): readonly string[] {
  return finders[system](module, from, paths);
}

type Finder = (module: string, from: string, paths: FilePaths) => readonly string[];

const finders: Readonly<Record<ModuleSystem, Finder>> = { python, script, go };

function python(module: string, from: string, paths: FilePaths): readonly string[] {
  const dots = /^\.*/.exec(module)?.[0].length ?? 0;
  const parts = module.slice(dots).split('.').filter(Boolean).join('/');
  if (dots > 0) {
    const folder = posix.normalize(posix.join(folderOf(from), '../'.repeat(dots - 1)));
    return firstOf(pythonFiles(posix.join(folder, parts)), paths);
  }
  // The folder of a script comes first in Python's path; the root of the repository is a usual one.
  for (let folder = folderOf(from); ; folder = folderOf(folder)) {
    const found = firstOf(pythonFiles(posix.join(folder, parts)), paths);
    if (found.length > 0) return found;
    if (folder === '.') return elsewhere(parts, paths);
  }
}

function pythonFiles(path: string): string[] {
  return [`${path}.py`, `${path}/__init__.py`, `${path}.pyi`, `${path}/__init__.pyi`];
}

/** In a folder such as `src` that is no package itself, when there is only one. */
function elsewhere(parts: string, paths: FilePaths): readonly string[] {
  const found = pythonFiles(parts).flatMap((file) =>
    paths.named(posix.basename(file)).filter((path) => path.endsWith(`/${file}`) && isRoot(path, file)),
  );
  return found.length === 1 ? found : [];

  function isRoot(path: string, file: string): boolean {
    return !paths.has(posix.join(path.slice(0, -file.length), '__init__.py'));
  }
}

const scriptExtensions = ['.ts', '.tsx', '.d.ts', '.mts', '.cts', '.js', '.jsx', '.mjs', '.cjs'];
/** What TypeScript calls by the name that it has once compiled. */
const compiledFrom: Readonly<Record<string, readonly string[]>> = {
  '.js': ['.ts', '.tsx', '.d.ts'],
  '.jsx': ['.tsx'],
  '.mjs': ['.mts'],
  '.cjs': ['.cts'],
};

function script(module: string, from: string, paths: FilePaths): readonly string[] {
  // Packages lie outside of the repository, or are found by settings that are not read here.
  if (!/^\.{1,2}(\/|$)/.test(module)) return [];
  const path = posix.normalize(posix.join(folderOf(from), module)).replace(/\/$/, '');
  const extension = posix.extname(path);
  const bare = path.slice(0, path.length - extension.length);
  return firstOf(
    [
      ...(compiledFrom[extension] ?? []).map((other) => bare + other),
      path,
      ...scriptExtensions.map((other) => path + other),
      ...scriptExtensions.map((other) => posix.join(path, `index${other}`)),
    ],
    paths,
  );
}

function go(module: string, _from: string, paths: FilePaths): readonly string[] {
  const versionless = module.replace(/\/v\d+$/, '');
  for (const name of new Set([module, versionless])) {
    const folder = goFolder(name.split('/'), paths);
    if (folder !== undefined) return paths.goFiles(folder);
  }
  return [];
}

/** The folder whose path ends most like the import; where modules begin is not known. */
function goFolder(parts: readonly string[], paths: FilePaths): string | undefined {
  const isStandard = !parts[0]?.includes('.');
  const rated = paths
    .goFolders(parts.at(-1) ?? '')
    .map((folder) => ({
      folder,
      size: folder.split('/').length,
      common: commonEnd(folder.split('/'), parts),
    }))
    // Packages of the standard library have short names that folders have, too.
    .filter(({ size, common }) => common >= (isStandard ? 2 : Math.min(2, size)))
    .sort((a, b) => b.common - a.common);
  const [best, second] = rated;
  return best && best.common !== second?.common ? best.folder : undefined;
}

function commonEnd(a: readonly string[], b: readonly string[]): number {
  let count = 0;
  while (count < a.length && count < b.length && a.at(-1 - count) === b.at(-1 - count)) count += 1;
  return count;
}

function firstOf(candidates: readonly string[], paths: FilePaths): string[] {
  const found = candidates.find((path) => paths.has(path));
  return found === undefined ? [] : [found];
}

/** `.` for the root. */
export function folderOf(path: string): string {
  return posix.dirname(path);
}

function push(map: Map<string, string[]>, key: string, value: string): void {
  const list = map.get(key);
  if (list) list.push(value);
  else map.set(key, [value]);
}
