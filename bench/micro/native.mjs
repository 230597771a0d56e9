// Builds and runs the native micro-benchmarks, bench/native/core_bench.cc.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { dropForeignTree } from '../../scripts/native/cmake.mjs';
import { findToolchain } from '../../scripts/native/toolchain.mjs';
import { results } from '../child.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url)).replace(/[\\/]$/, '');
const tree = join(root, 'build-bench');

function cmake(args) {
  const { status, error } = spawnSync('cmake', args, { cwd: root, stdio: ['ignore', 2, 2] });
  if (status !== 0) throw new Error(`cmake ${args[0]} failed${error ? `: ${error.message}` : ''}`);
}

function build() {
  const toolchain = findToolchain();
  if ('message' in toolchain) throw new Error(toolchain.message);
  dropForeignTree(tree, toolchain.generator);
  const defines = ['-DSTOMP_BENCH=ON', '-DCMAKE_BUILD_TYPE=Release'];
  cmake(['-S', root, '-B', tree, '-G', toolchain.generator, '--log-level=WARNING', ...defines]);
  cmake(['--build', tree, '--target', 'stomp_core_bench']);
  return join(tree, 'bench', 'native', 'stomp_core_bench');
}

/** @returns {Promise<{ name: string, value: number, unit: string }[]>} */
export async function nativeFigures() {
  return results(build(), [], { cwd: root });
}
