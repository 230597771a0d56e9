/**
 * The long runs, one after another, some four hours: `npm run test:nightly`. All tests with ten times the rounds, the
 * soak for an hour, the package installed by every manager on every Node, clang-tidy over all C++ files, the C++ tests
 * under AddressSanitizer and UndefinedBehaviorSanitizer and under ThreadSanitizer, ten minutes of fuzzing for each
 * reader of what comes from outside, the CPU kernels on arm64 (emulated), what is compiled for macOS, and whether many
 * runs leave the event loop free. Ends with one line,
 * `N passed, N failed`, over all of them.
 */
import { spawnSync } from 'node:child_process';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');

const runs = [
  ['scripts/test.mjs', 'unit', 'integration', 'e2e', 'cpp', 'clients', '--scale', '10'],
  ['tests/soak/soak.mjs', '--minutes', '60'],
  ['scripts/test-package.mjs'],
  ['scripts/lint-cpp.mjs'],
  ['scripts/test-cpp.mjs', '--sanitize'],
  ['scripts/test-cpp.mjs', '--sanitize', 'thread'],
  ['scripts/fuzz.mjs', '--seconds', '600'],
  ['scripts/test-arm64.mjs'],
  ['scripts/check-darwin.mjs'],
  ['scripts/check-cuda.mjs'],
  ['bench/clutch/run.mjs', '--strict'],
];

/** What a run says in its last line of counts; one that ends without counts as one. */
function countsOf([program, ...args]) {
  console.log(`\n=== ${program} ${args.join(' ')}`);
  const { status, stdout } = spawnSync(process.execPath, [program, ...args], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 1 << 30,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  process.stdout.write(stdout);
  const [, passed, failed] = [...stdout.matchAll(/^(\d+) passed, (\d+) failed$/gm)].at(-1) ?? [
    0,
    status === 0 ? 1 : 0,
    0,
  ];
  return { passed: Number(passed), failed: status === 0 ? Number(failed) : Math.max(Number(failed), 1) };
}

const all = runs.map(countsOf);
const passed = all.reduce((sum, run) => sum + run.passed, 0);
const failed = all.reduce((sum, run) => sum + run.failed, 0);
console.log(`\n${passed} passed, ${failed} failed`);
process.exitCode = failed || !passed ? 1 : 0;
