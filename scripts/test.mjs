/**
 * Runs the tests, names those that failed, and ends with one line, `N passed, N failed`, over all of them.
 *
 *   node scripts/test.mjs [unit] [integration] [e2e] [cpp] [clients] [--scale N]
 *
 * Without names it runs all of them but clients, which brings other people's programs from npm.
 * --scale multiplies rounds and durations of the tests that have them (STOMP_TEST_SCALE).
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runCppTests } from './native/cpp-tests.mjs';
import { hasEngine, platformName } from './native/platform.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const failures = [];
const suites = ['unit', 'integration', 'e2e', 'cpp'];
const onDemand = ['clients'];

function parse(args) {
  const at = args.indexOf('--scale');
  const scale = at < 0 ? process.env.STOMP_TEST_SCALE : args[at + 1];
  const chosen = at < 0 ? args : args.toSpliced(at, 2);
  const known = [...suites, ...onDemand];
  const unknown = chosen.find((name) => !known.includes(name));
  if (unknown !== undefined)
    throw new Error(`There is no suite "${unknown}". There are ${known.join(', ')}.`);
  return { chosen: chosen.length ? chosen : suites, scale: scale ?? '1' };
}

/** One vitest project. Those that time or load the machine run a file at a time. */
function vitest(project) {
  const folder = mkdtempSync(join(tmpdir(), 'stomp-test-'));
  const report = join(folder, 'report.json');
  const args = ['run', '--project', project, '--reporter=default', '--reporter=json'];
  if (project !== 'unit') args.push('--no-file-parallelism');
  const cli = join(root, 'node_modules', 'vitest', 'vitest.mjs');
  try {
    const all = [cli, ...args, `--outputFile.json=${report}`];
    const { status } = spawnSync(process.execPath, all, { cwd: root, stdio: 'inherit' });
    return count(JSON.parse(readFileSync(report, 'utf8')), status);
  } catch (error) {
    console.error(`vitest left no report for ${project}: ${error.message}`);
    return { passed: 0, failed: 1 };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A file that could not be loaded has no tests to count: it counts as one failure. */
function count(report, status) {
  const broken = report.testResults.filter(
    (file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
  ).length;
  const failed = report.numFailedTests + broken;
  failures.push(...report.testResults.flatMap(named));
  const skipped = report.numPendingTests + report.numTodoTests;
  if (skipped) console.log(`${skipped} skipped`);
  return { passed: report.numPassedTests, failed: status === 0 ? failed : Math.max(failed, 1) };
}

/** The failed tests of a file, or the file if it has none and failed. */
function named({ name, status, assertionResults }) {
  if (status !== 'failed') return [];
  const file = relative(root, name);
  const tests = assertionResults.filter((test) => test.status === 'failed');
  return tests.length ? tests.map(({ fullName }) => `${file}: ${fullName}`) : [file];
}

async function cpp() {
  if (!hasEngine()) {
    console.log(`no C++ tests: there is no engine for ${platformName()}`);
    return { passed: 0, failed: 0 };
  }
  try {
    return await runCppTests();
  } catch (error) {
    console.error(error.message);
    return { passed: 0, failed: 1 };
  }
}

async function main() {
  const { chosen, scale } = parse(process.argv.slice(2));
  process.env.STOMP_TEST_SCALE = scale;
  let passed = 0;
  let failed = 0;
  for (const suite of chosen) {
    console.log(`\n== ${suite}`);
    const result = suite === 'cpp' ? await cpp() : vitest(suite);
    passed += result.passed;
    failed += result.failed;
  }
  for (const failure of failures) console.log(`FAIL  ${failure}`);
  console.log(`\n${passed} passed, ${failed} failed`);
  process.exitCode = failed || !passed ? 1 : 0;
}

main();
