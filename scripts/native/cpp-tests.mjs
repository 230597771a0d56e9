/** Configures, builds and runs the C++ tests; no Node headers and no packages are needed. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fetchAll } from '../../cpp/deps/fetch.mjs';
import { cmakeVariables, dropForeignTree } from './cmake.mjs';
import { findToolchain } from './toolchain.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..');

/** Runs a command that must succeed. */
export function run(command, args, options = {}) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit', ...options });
  if (status !== 0) throw new Error(`${command} ${args[0]} failed${error ? `: ${error.message}` : ''}`);
}

/** Assertions stay on in tests: no -DNDEBUG. */
function flags(sanitize) {
  return sanitize ? '-O1 -g' : '-O2';
}

/**
 * Configures a tree of tests.
 * @param {string} name of its folder
 * @param {Record<string, string>} variables of CMake, on top of what all such trees have
 * @returns the folder
 */
export function configure(name, toolchain, deps, variables) {
  const tree = join(root, name);
  dropForeignTree(tree, toolchain.generator);
  const all = {
    ...cmakeVariables(toolchain, deps),
    STOMP_TESTS: 'ON',
    CMAKE_BUILD_TYPE: 'Release',
    CMAKE_CXX_FLAGS_RELEASE: flags(''),
    ...variables,
  };
  const defines = Object.entries(all).map(([key, value]) => `-D${key}=${value}`);
  run('cmake', ['-S', root, '-B', tree, '-G', toolchain.generator, '--log-level=WARNING', ...defines]);
  return tree;
}

/**
 * Configures the tree of the tests, which also has the compile commands that clang-tidy reads.
 * @param {string} sanitize for example `address,undefined`; empty for none
 * @returns the tree's folder
 */
export function configureTests(sanitize) {
  const toolchain = findToolchain();
  if ('message' in toolchain) throw new Error(toolchain.message);
  const deps = fetchAll();
  requireMlx(deps);
  return configure(treeName(sanitize), toolchain, deps, {
    STOMP_SANITIZE: sanitize,
    CMAKE_CXX_FLAGS_RELEASE: flags(sanitize),
  });
}

function requireMlx(deps) {
  if (!deps.reason) return;
  if (process.env.STOMP_REQUIRE_MLX === '1') throw new Error(`no MLX executor to test: ${deps.reason}`);
  console.error(`stomp-serve: C++ tests without the MLX executor: ${deps.reason}`);
}

function treeName(sanitize) {
  if (!sanitize) return 'build-tests';
  return sanitize.includes('address') ? 'build-asan' : `build-${sanitize.replaceAll(',', '-')}`;
}

/** Runs a test program and its arguments; a crash or a missing summary counts as a failure. */
export function runProgram(program, args, env) {
  console.log(['==', program, ...args].join(' '));
  const result = spawnSync(program, args, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  });
  process.stdout.write(result.stdout ?? '');
  const summary = result.stdout?.match(/^(\d+) passed, (\d+) failed$/m);
  const passed = Number(summary?.[1] ?? 0);
  const failed = Number(summary?.[2] ?? 0);
  if (result.status === 0 && passed) return { passed, failed };
  console.log(`FAIL  ${program} ended with ${result.signal ?? `status ${result.status}`}`);
  return { passed, failed: Math.max(failed, 1) };
}

const suppressions = (name) => `suppressions=${join(root, 'tests', 'cpp', name)}`;

/** The default model's file, for the tests that judge by it; brought when it is not there yet. */
export async function defaultModelFile() {
  if (!existsSync(join(root, 'dist'))) throw new Error('dist is missing: run npm run build:ts first');
  const { resolveModel } = await import('../../dist/engine/models/registry.js');
  return resolveModel('smollm2-135m', {});
}

/**
 * Builds and runs all test programs.
 * @param {{ sanitize?: string }} options
 * @returns {Promise<{ passed: number, failed: number }>}
 */
export async function runCppTests({ sanitize = '' } = {}) {
  const tree = configureTests(sanitize);
  run('cmake', ['--build', tree, '--parallel', String(availableParallelism())]);
  const env = {
    STOMP_TEST_MODEL: process.env.STOMP_TEST_MODEL || (await defaultModelFile()),
    ASAN_OPTIONS: 'detect_leaks=1:strict_string_checks=1',
    LSAN_OPTIONS: suppressions('lsan.supp'),
    UBSAN_OPTIONS: 'print_stacktrace=1:halt_on_error=1',
    TSAN_OPTIONS: `halt_on_error=1:${suppressions('tsan.supp')}`,
  };
  const programs = ['stomp_tests'];
  // Fibres of one thread, which ThreadSanitizer takes for corruption.
  if (!sanitize.includes('thread')) programs.push('stomp_metal_tests', 'stomp_cuda_tests');
  if (existsSync(join(tree, 'mlx'))) programs.push('stomp_mlx_tests');
  // Not built under sanitizers.
  if (existsSync(join(tree, 'mlx')) && !sanitize) {
    programs.push('stomp_mlx_emulated_tests', 'stomp_mlx_cuda_tests');
  }
  const results = programs.map((name) => runProgram(join(tree, 'tests', 'cpp', name), [], env));
  return total(results);
}

/** The sum of several results. */
export function total(results) {
  return results.reduce((sum, { passed, failed }) => ({
    passed: sum.passed + passed,
    failed: sum.failed + failed,
  }));
}
