/** What both CMake trees, the addon's and the tests', have in common. */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..');

/** A tree that was configured for another folder or generator cannot be used again. */
export function dropForeignTree(tree, generator) {
  const cache = join(tree, 'CMakeCache.txt');
  if (!existsSync(cache)) return;
  const text = readFileSync(cache, 'utf8');
  const value = (key) => text.match(new RegExp(`^${key}:\\w+=(.*)$`, 'm'))?.[1];
  const same = value('CMAKE_HOME_DIRECTORY') === root && value('CMAKE_GENERATOR') === generator;
  if (!same) rmSync(tree, { recursive: true });
}

/** CMake variables for a toolchain and what fetchAll() found; every one is said each time. */
export function cmakeVariables(toolchain, deps) {
  // `env` is a launcher that does nothing: it replaces a ccache that CMake remembers.
  const launcher = toolchain.ccache ? 'ccache' : 'env';
  return {
    STOMP_MLX: deps.mlxC ? 'ON' : 'OFF',
    STOMP_MLXC_DIR: deps.mlxC ?? 'NONE',
    STOMP_MLX_DIR: deps.mlx ?? 'NONE',
    STOMP_MLX_CUDA: deps.cuda ? 'ON' : 'OFF',
    // Empty where the libraries that CUDA's MLX needs are the system's.
    STOMP_CUDA_LIBRARIES: deps.cuda?.folder ?? '',
    CMAKE_C_COMPILER_LAUNCHER: launcher,
    CMAKE_CXX_COMPILER_LAUNCHER: launcher,
  };
}
