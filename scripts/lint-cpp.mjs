/**
 * Format, complexity and clang-tidy of the C++ code.
 *
 *   node scripts/lint-cpp.mjs                 all three
 *   node scripts/lint-cpp.mjs --quick         all but clang-tidy, which takes as long as a build
 *   node scripts/lint-cpp.mjs --format-only   the format alone, no compiler needed
 *   node scripts/lint-cpp.mjs --fix           formats in place first
 */
import { spawnSync } from 'node:child_process';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { pins } from '../cpp/deps/fetch.mjs';
import { configureTests } from './native/cpp-tests.mjs';
import { cppFiles, cppTools } from './native/cpp-tools.mjs';
import { runTidy } from './native/tidy.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const maxComplexity = '10';

function succeeds(command, args, env = process.env) {
  return spawnSync(command, args, { cwd: root, stdio: 'inherit', env }).status === 0;
}

function format(tools, files, fix) {
  return succeeds(tools.clangFormat, [...(fix ? ['-i'] : ['--dry-run', '-Werror']), ...files]);
}

/** Cyclomatic, with a switch counted as one branch. */
function complexity(tools, files) {
  const args = ['-m', 'lizard', '-l', 'cpp', '-m', '-C', maxComplexity, '-w', ...files];
  return succeeds(process.env.PYTHON || 'python3', args, { ...process.env, PYTHONPATH: tools.folder });
}

async function tidy(tools) {
  const tree = configureTests('');
  const version = pins.pythonTools['clang-tidy'];
  const { checked, failed } = await runTidy({ root, tree, program: tools.clangTidy, version });
  for (const text of failed) console.error(`\n${text}`);
  console.log(`clang-tidy: ${checked} looked at, ${failed.length} with findings`);
  return failed.length === 0;
}

async function main(args) {
  const tools = cppTools();
  const files = cppFiles(root);
  const results = [['clang-format', format(tools, files, args.includes('--fix'))]];
  if (!args.includes('--format-only')) {
    results.push(['complexity', complexity(tools, files)]);
    if (!args.includes('--quick')) results.push(['clang-tidy', await tidy(tools)]);
  }
  for (const [name, ok] of results) console.log(`${ok ? 'ok   ' : 'FAIL '} ${name}`);
  const passed = results.filter(([, ok]) => ok).length;
  console.log(`${passed} passed, ${results.length - passed} failed`);
  return passed === results.length;
}

main(process.argv.slice(2)).then(
  (ok) => {
    process.exitCode = ok ? 0 : 1;
  },
  (error) => {
    console.error(error.message);
    process.exitCode = 1;
  },
);
