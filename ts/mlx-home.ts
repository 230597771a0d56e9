/**
 * Where the MLX executor lies: built from source, in the package, or in the user's cache folder. A package comes with
 * the executor's library but without MLX; `stomp-serve setup mlx` puts both together in a folder that appears at once
 * and complete. The folder is named after what is in it, so that packages of several versions get along.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Which package on which machine; passed in, so that tests can stand in for it. */
export interface MlxHome {
  /** The package's folder. */
  packageRoot: string;
  platform: NodeJS.Platform;
  arch: string;
  env: NodeJS.ProcessEnv;
}

/** The package that runs. */
export const thisHome: MlxHome = {
  packageRoot: join(dirname(fileURLToPath(import.meta.url)), '..'),
  platform: process.platform,
  arch: process.arch,
  env: process.env,
};

/** The command that builds what is missing: a clone has a script for it, and an installed package is built by npm. */
export function buildCommand({ packageRoot }: Pick<MlxHome, 'packageRoot'>): string {
  const isClone = existsSync(join(packageRoot, 'tsconfig.json'));
  return isClone ? 'npm run build:native' : 'npm rebuild stomp-serve --build-from-source';
}

/** File name of the executor's library. */
export function mlxLibraryName(home: MlxHome): string {
  return home.platform === 'darwin' ? 'libstomp_mlx.dylib' : 'libstomp_mlx.so';
}

function prebuilds(home: MlxHome): string {
  return join(home.packageRoot, 'prebuilds', `${home.platform}-${home.arch}`);
}

/** The folder of the executor's library as the package brings it, without MLX; undefined where it brings none. */
export function shippedMlx(home: MlxHome): string | undefined {
  const folder = join(prebuilds(home), 'mlx');
  return existsSync(join(folder, mlxLibraryName(home))) ? folder : undefined;
}

/**
 * The folders in which executor and MLX can be put together, best first; none where the package brings no executor.
 * Each either is complete or is not there.
 */
export function mlxFolders(home: MlxHome): string[] {
  const shipped = shippedMlx(home);
  if (shipped === undefined) return [];
  const digest = createHash('sha256').update(readFileSync(join(shipped, mlxLibraryName(home))));
  const name = `mlx-${pinnedMlx(home)}-${digest.digest('hex').slice(0, 12)}`;
  const cache = home.env['XDG_CACHE_HOME'] || join(homedir(), '.cache');
  return [join(prebuilds(home), name), join(cache, 'stomp-serve', name)];
}

/** Path of an executor's library with MLX beside it, or undefined when there is none yet. */
export function findMlxLibrary(home: MlxHome): string | undefined {
  const name = mlxLibraryName(home);
  const built = join(home.packageRoot, 'build', 'Release', 'mlx', name);
  if (existsSync(built)) return built;
  return mlxFolders(home)
    .map((folder) => join(folder, name))
    .find((path) => existsSync(path));
}

/** Why the build from source left the MLX executor out, if it said so. */
export function mlxSkipReason(home: MlxHome): string | undefined {
  const note = join(home.packageRoot, 'build', 'Release', 'mlx', 'SKIPPED.txt');
  return existsSync(note) ? readFileSync(note, 'utf8').trim() : undefined;
}

function pinnedMlx(home: MlxHome): string {
  const pins = readFileSync(join(home.packageRoot, 'cpp', 'deps', 'pins.json'), 'utf8');
  return (JSON.parse(pins) as { mlx: { version: string } }).mlx.version;
}
