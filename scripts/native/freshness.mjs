/** Whether something built is older than what it is built from, by modification times. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** What the addon and the MLX executor are built from, below the package's folder. */
export const nativeSources = [
  'cpp',
  'metal',
  'cuda',
  'CMakeLists.txt',
  'binding.gyp',
  'scripts/build-native.mjs',
  'scripts/native/cmake.mjs',
  'scripts/native/cross.mjs',
  'scripts/native/cuda.mjs',
  'scripts/native/platform.mjs',
  'scripts/native/toolchain.mjs',
];

/** The newest modification time in ms of a file, or of all files below a folder. */
function newest(path) {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat) return 0;
  if (!stat.isDirectory()) return stat.mtimeMs;
  const inside = readdirSync(path).map((name) => newest(join(path, name)));
  return Math.max(stat.mtimeMs, ...inside);
}

/**
 * @param {string} product a file that is written whenever the product is built
 * @param {string[]} sources files and folders
 */
export function isStale(product, sources) {
  if (!existsSync(product)) return true;
  const built = statSync(product).mtimeMs;
  return sources.some((source) => newest(source) > built);
}
