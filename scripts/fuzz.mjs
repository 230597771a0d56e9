/**
 * Fuzzes the readers of what comes from outside: `npm run fuzz [-- TARGET…] [--seconds 600]`.
 *
 * Needs clang with its runtime libraries (Debian: clang-16 libclang-rt-16-dev). Seeds are the fixtures; what is found
 * on the way is kept in build-fuzz/corpus and gone on from next time, inputs that fail are kept in build-fuzz/findings.
 * Ends with `N passed, N failed`, one a target.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { fetchAll } from '../cpp/deps/fetch.mjs';
import { configure, run } from './native/cpp-tests.mjs';
import { findToolchain } from './native/toolchain.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const models = join(root, 'tests', 'fixtures', 'models');
const tree = join(root, 'build-fuzz');

/** Largest seed; longer inputs are mutated too slowly to be worth it. */
const seedBytes = 1 << 20;

/** By target, which fixtures it begins with. */
const seeds = {
  agent_fuzz: () => agentFiles(),
  config_fuzz: () => filesBelow(models, 'config.json'),
  gguf_fuzz: () => filesBelow(models, '.gguf'),
  grammar_fuzz: () => [],
  json_fuzz: () => filesBelow(models, '.json'),
  model_fuzz: () => filesBelow(models, '.gguf'),
  safetensors_fuzz: () => filesBelow(models, '.safetensors'),
};

function filesBelow(folder, ending) {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  return names.filter((name) => name.endsWith(ending)).map((name) => join(folder, name));
}

/** Caches that the C++ tests leave for this: one of global layers, one with windows. */
function agentFiles() {
  const folder = join(tree, 'agents');
  mkdirSync(folder, { recursive: true });
  run(join(tree, 'tests', 'fuzz', 'agent_seeds'), [folder]);
  return filesBelow(folder, '.safetensors');
}

function clang() {
  const names = [process.env.CXX ?? '', 'clang++', ...[20, 19, 18, 17, 16, 15].map((n) => `clang++-${n}`)];
  const works = (name) =>
    name.includes('clang') &&
    spawnSync(name, ['-std=c++20', '-fsanitize=fuzzer', '-x', 'c++', '-', '-o', '/dev/null'], {
      input:
        '#include <cstddef>\n#include <cstdint>\nextern "C" int LLVMFuzzerTestOneInput(const uint8_t*, size_t) { return 0; }\n',
      stdio: ['pipe', 'ignore', 'ignore'],
    }).status === 0;
  const found = names.find(works);
  if (!found) {
    throw new Error(
      'fuzzing needs clang 15 or later with its runtime libraries (Debian: apt-get install clang-16 libclang-rt-16-dev)',
    );
  }
  return found;
}

function build() {
  const toolchain = findToolchain();
  if ('message' in toolchain) throw new Error(toolchain.message);
  const compiler = clang();
  configure(
    'build-fuzz',
    toolchain,
    { ...fetchAll(), reason: 'not fuzzed' },
    {
      CMAKE_CXX_COMPILER: compiler,
      STOMP_FUZZ: 'ON',
      STOMP_MLX: 'OFF',
      STOMP_SANITIZE: 'address,undefined,fuzzer-no-link',
      CMAKE_CXX_FLAGS_RELEASE: '-O1 -g',
    },
  );
  const targets = [...Object.keys(seeds), 'agent_seeds'].flatMap((name) => ['--target', name]);
  run('cmake', ['--build', tree, '--parallel', String(availableParallelism()), ...targets]);
}

function fuzz(target, seconds) {
  const corpus = join(tree, 'corpus', target);
  const findings = join(tree, 'findings', target);
  for (const folder of [corpus, findings]) mkdirSync(folder, { recursive: true });
  for (const [i, seed] of seeds[target]().entries()) {
    if (statSync(seed).size <= seedBytes) copyFileSync(seed, join(corpus, `seed-${i}-${basename(seed)}`));
  }
  console.log(`\n== ${target}, ${seconds} s`);
  const options = [
    `-max_total_time=${seconds}`,
    `-max_len=${seedBytes}`,
    '-timeout=20',
    '-rss_limit_mb=4096',
  ];
  const args = [...options, '-print_final_stats=1', `-artifact_prefix=${findings}/`, corpus];
  const { status, stderr } = spawnSync(join(tree, 'tests', 'fuzz', target), args, {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  if (status === 0) {
    const executed = /number_of_executed_units: (\d+)/.exec(stderr)?.[1];
    const covered = [...stderr.matchAll(/cov: (\d+)/g)].at(-1)?.[1];
    console.log(`ok    ${target}: ${executed} inputs, ${covered} edges`);
    return true;
  }
  console.log(stderr.split('\n').slice(-60).join('\n'));
  console.log(`FAIL  ${target}: see ${findings}`);
  return false;
}

function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { seconds: { type: 'string', default: '600' } },
  });
  const unknown = positionals.find((name) => !(name in seeds));
  if (unknown)
    throw new Error(`There is no target "${unknown}". There are ${Object.keys(seeds).join(', ')}.`);
  const seconds = Number(values.seconds);
  if (!(seconds > 0)) throw new Error('--seconds takes a positive number');
  build();
  if (!existsSync(models)) throw new Error(`${models} is missing`);
  const results = (positionals.length ? positionals : Object.keys(seeds)).map((name) => fuzz(name, seconds));
  const passed = results.filter(Boolean).length;
  console.log(`\n${passed} passed, ${results.length - passed} failed`);
  process.exitCode = passed === results.length ? 0 : 1;
}

try {
  main();
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
