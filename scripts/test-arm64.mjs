/**
 * The CPU kernels on arm64, from another machine: `npm run test:arm64` builds the C++ tests with a cross
 * compiler into build-arm64 and runs them under qemu-user, on a processor with 8-bit dot products and on one
 * without. On arm64 itself `npm run test:cpp` runs them all. STOMP_TEST_FILTER=text picks other tests.
 */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { configure, run, runProgram, total } from './native/cpp-tests.mjs';
import { crossLibraries, crossTo } from './native/cross.mjs';
import { runs } from './native/platform.mjs';
import { findToolchain } from './native/toolchain.mjs';

const emulator = 'qemu-aarch64';
const processors = ['max', 'cortex-a53'];
const filters = process.env.STOMP_TEST_FILTER
  ? [process.env.STOMP_TEST_FILTER]
  : ['cpu kernels', 'instruction set'];

function requireEmulator() {
  if (runs(emulator, ['--version'])) return;
  throw new Error(
    `stomp-serve: the tests for arm64 need ${emulator}, which this machine lacks.\n` +
      'Install what is missing, then run the same command again:\n' +
      '  Debian, Ubuntu   sudo apt-get install qemu-user',
  );
}

function build(variables) {
  const toolchain = findToolchain();
  if ('message' in toolchain) throw new Error(toolchain.message);
  const tree = configure('build-arm64', toolchain, {}, variables);
  const jobs = String(availableParallelism());
  run('cmake', ['--build', tree, '--target', 'stomp_tests', '--parallel', jobs]);
  return join(tree, 'tests', 'cpp', 'stomp_tests');
}

try {
  requireEmulator();
  const { compiler, variables } = crossTo('linux-arm64');
  const program = build(variables);
  const results = processors.flatMap((processor) =>
    filters.map((filter) => {
      const args = ['-cpu', processor, '-L', crossLibraries(compiler), program];
      return runProgram(emulator, args, { STOMP_TEST_FILTER: filter });
    }),
  );
  const { passed, failed } = total(results);
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed ? 1 : 0;
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
