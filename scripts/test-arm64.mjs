/**
 * The CPU kernels on arm64, from another machine: `npm run test:arm64` builds the C++ tests with a cross
 * compiler into build-arm64 and runs them under qemu-user, on a processor with 8-bit dot products and on one
 * without. On arm64 itself `npm run test:cpp` runs them all. STOMP_TEST_FILTER=text picks other tests.
 */
import { spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { configure, run, runProgram, total } from './native/cpp-tests.mjs';
import { runs } from './native/platform.mjs';
import { findToolchain } from './native/toolchain.mjs';

const compiler = 'aarch64-linux-gnu-g++';
const emulator = 'qemu-aarch64';
const processors = ['max', 'cortex-a53'];
const filters = process.env.STOMP_TEST_FILTER
  ? [process.env.STOMP_TEST_FILTER]
  : ['cpu kernels', 'instruction set'];

function requireTools() {
  const missing = [compiler, emulator].filter((program) => !runs(program, ['--version']));
  if (!missing.length) return;
  throw new Error(
    `stomp-serve: the tests for arm64 need ${missing.join(' and ')}, which this machine lacks.\n` +
      'Install what is missing, then run the same command again:\n' +
      '  Debian, Ubuntu   sudo apt-get install g++-aarch64-linux-gnu qemu-user',
  );
}

/** The folder with the C library that the compiler links against. */
function libraries() {
  const { stdout } = spawnSync(compiler, ['-print-file-name=libc.so.6'], { encoding: 'utf8' });
  return resolve(stdout.trim(), '..', '..');
}

function build() {
  const toolchain = findToolchain();
  if ('message' in toolchain) throw new Error(toolchain.message);
  const tree = configure(
    'build-arm64',
    toolchain,
    {},
    {
      CMAKE_SYSTEM_NAME: 'Linux',
      CMAKE_SYSTEM_PROCESSOR: 'aarch64',
      CMAKE_C_COMPILER: compiler.replace('g++', 'gcc'),
      CMAKE_CXX_COMPILER: compiler,
    },
  );
  const jobs = String(availableParallelism());
  run('cmake', ['--build', tree, '--target', 'stomp_tests', '--parallel', jobs]);
  return join(tree, 'tests', 'cpp', 'stomp_tests');
}

try {
  requireTools();
  const program = build();
  const results = processors.flatMap((processor) =>
    filters.map((filter) => {
      const args = ['-cpu', processor, '-L', libraries(), program];
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
