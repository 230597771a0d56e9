// Builds and runs the native micro-benchmarks, bench/native.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fetchAll } from '../../cpp/deps/fetch.mjs';
import { cmakeVariables, dropForeignTree } from '../../scripts/native/cmake.mjs';
import { findToolchain } from '../../scripts/native/toolchain.mjs';
import { results } from '../child.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url)).replace(/[\\/]$/, '');
const tree = join(root, 'build-bench');

function cmake(args) {
  const { status, error } = spawnSync('cmake', args, { cwd: root, stdio: ['ignore', 2, 2] });
  if (status !== 0) throw new Error(`cmake ${args[0]} failed${error ? `: ${error.message}` : ''}`);
}

/** @param {{ mlxC?: string, mlx?: string }} deps what fetchAll() found; none: without the MLX executor */
function build(target, deps) {
  const toolchain = findToolchain();
  if ('message' in toolchain) throw new Error(toolchain.message);
  dropForeignTree(tree, toolchain.generator);
  const all = { STOMP_BENCH: 'ON', CMAKE_BUILD_TYPE: 'Release', ...cmakeVariables(toolchain, deps) };
  const defines = Object.entries(all).map(([key, value]) => `-D${key}=${value}`);
  cmake(['-S', root, '-B', tree, '-G', toolchain.generator, '--log-level=WARNING', ...defines]);
  cmake(['--build', tree, '--target', target]);
  return join(tree, 'bench', 'native', target);
}

/** @returns {Promise<{ name: string, value: number, unit: string }[]>} */
export async function nativeFigures() {
  const program = build('stomp_core_bench', {});
  return results(program, [], { cwd: root });
}

/**
 * What the MLX executor's gather of a long sequence costs.
 * @param {{ layers: number, kvHeads: number, headDim: number, tokens: number }} shape
 * @returns {Promise<{ name: string, value: number, unit: string }[]>}
 */
export async function gatherFigures({ layers, kvHeads, headDim, tokens }) {
  const program = build('stomp_mlx_gather_bench', fetchAll());
  return results(program, [layers, kvHeads, headDim, tokens].map(String), { cwd: root });
}
