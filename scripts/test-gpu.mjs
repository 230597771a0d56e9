/**
 * For a machine with a GPU: builds the MLX executor for it and runs the tests that hold on any device, among them
 * those against golden values, on the GPU. Never run so far: there was no GPU at hand (docs/gpu.md).
 *
 *   node scripts/test-gpu.mjs               the tests
 *   node scripts/test-gpu.mjs --device cpu  the same on MLX's CPU device, to try this script
 */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { fetchAll } from '../cpp/deps/fetch.mjs';
import { configure, defaultModelFile, run, runProgram } from './native/cpp-tests.mjs';
import { findToolchain } from './native/toolchain.mjs';

async function main() {
  const { values } = parseArgs({ options: { device: { type: 'string', default: 'gpu' } } });
  const toolchain = findToolchain();
  if ('message' in toolchain) throw new Error(toolchain.message);
  // On Linux it is the GPU that decides which MLX is wanted, whatever else is missing.
  if (values.device === 'gpu' && process.platform === 'linux') process.env.STOMP_MLX_CUDA ??= '1';
  const deps = fetchAll();
  if (!deps.mlx || !deps.mlxC) throw new Error(`no MLX executor to test: ${deps.reason}`);
  const tree = configure('build-gpu', toolchain, deps, {});
  const jobs = String(availableParallelism());
  run('cmake', ['--build', tree, '--parallel', jobs, '--target', 'stomp_mlx_tests']);
  const { passed, failed } = runProgram(join(tree, 'tests', 'cpp', 'stomp_mlx_tests'), [], {
    STOMP_TEST_DEVICE: values.device,
    STOMP_TEST_FILTER: 'mlx device',
    STOMP_TEST_MODEL: process.env.STOMP_TEST_MODEL || (await defaultModelFile()),
  });
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed ? 1 : 0;
}

try {
  await main();
} catch (error) {
  console.error(`stomp-serve: ${error.message}`);
  process.exitCode = 1;
}
