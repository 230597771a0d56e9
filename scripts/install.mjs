/**
 * npm's install step: a prebuild if the package has one for this machine, else a build from source.
 * Where there is no engine for the platform it says so in one line and succeeds: the parts of the
 * package that need no engine work everywhere.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { hasEngine, platformName, runs } from './native/platform.mjs';
import { findToolchain } from './native/toolchain.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');

function nodeGypBuild(program) {
  const require = createRequire(import.meta.url);
  return join(dirname(require.resolve('node-gyp-build/package.json')), program);
}

/** A source folder installed by its path brings none of its own packages. */
function hasDependencies() {
  try {
    nodeGypBuild('bin.js');
    return true;
  } catch {
    return false;
  }
}

/** Whether an addon that loads is there already, built or prebuilt. */
function ready() {
  if (process.env.npm_config_build_from_source === 'true') return false;
  const test = spawnSync(process.execPath, [nodeGypBuild('build-test.js')], { cwd: root, stdio: 'ignore' });
  return test.status === 0;
}

function build() {
  // node-gyp needs Python and make itself; without them the script that it would call does the same.
  const throughGyp = runs('make', ['--version']) && runs(process.env.PYTHON || 'python3', ['--version']);
  const script = throughGyp ? nodeGypBuild('bin.js') : join(root, 'scripts', 'build-native.mjs');
  // No Node headers are needed; this keeps node-gyp from downloading them.
  const nodedir = join(root, 'cpp', 'deps', 'nodedir');
  const env = { npm_config_loglevel: 'warn', ...process.env, npm_config_nodedir: nodedir };
  const status = spawnSync(process.execPath, [script], { cwd: root, stdio: 'inherit', env }).status ?? 1;
  if (status === 0) dropObjects();
  return status;
}

/** In a package that nobody will edit, the object files (more than all the rest) serve no one. */
function dropObjects() {
  if (existsSync(join(root, '.git'))) return;
  rmSync(join(root, 'build-native'), { recursive: true, force: true });
}

function main() {
  if (!hasDependencies()) {
    console.error(
      `stomp-serve: the packages of ${root} are not installed; run \`npm ci\` there first, or install a packed copy (npm pack)`,
    );
    return 1;
  }
  if (!hasEngine()) {
    console.log(`stomp-serve: no inference engine for ${platformName()}; everything else is installed`);
    return 0;
  }
  if (ready()) return 0;
  const toolchain = findToolchain();
  if ('message' in toolchain) {
    console.error(toolchain.message);
    return 1;
  }
  return build();
}

process.exitCode = main();
