/**
 * Builds the addon and the MLX executor through cmake-js, incrementally, and copies the products to
 * build/Release (or to --out):
 *
 *   stomp_serve.node
 *   mlx/            libstomp_mlx, and MLX as its wheel has it; or SKIPPED.txt, which says why not
 *
 * The products find each other by relative paths: the folder may be moved. STOMP_SKIP_MLX=1 leaves the
 * MLX executor out, STOMP_REQUIRE_MLX=1 makes its absence an error. STOMP_FORCE_PLATFORM builds for another
 * machine, in a tree of its own; STOMP_MLX_CUDA=1 takes MLX for NVIDIA GPUs, as is done by itself where one can
 * be used (native/cuda.mjs); STOMP_PORTABLE=1 links the C++ run-time library in, for other systems.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fetchAll } from '../cpp/deps/fetch.mjs';
import { cmakeVariables, dropForeignTree } from './native/cmake.mjs';
import { crossTo, isCross } from './native/cross.mjs';
import { hasEngine, platformName } from './native/platform.mjs';
import { findToolchain } from './native/toolchain.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const tree = join(root, isCross() ? `build-native-${platformName()}` : 'build-native');
const products = join(tree, 'Release');

class Failure extends Error {}

function cmakeJs(command, args) {
  const cli = join(
    dirname(createRequire(import.meta.url).resolve('cmake-js/package.json')),
    'bin',
    'cmake-js',
  );
  const all = [cli, command, '--directory', root, '--out', tree, '--log-level', 'error', ...args];
  const { status } = spawnSync(process.execPath, all, { stdio: 'inherit', cwd: root });
  if (status !== 0) throw new Failure(`the native build failed (cmake-js ${command}, see above)`);
}

function cmakeOptions(toolchain, deps) {
  const options = {
    STOMP_BINDING: 'ON',
    STOMP_PORTABLE: process.env.STOMP_PORTABLE === '1' ? 'ON' : 'OFF',
    ...cmakeVariables(toolchain, deps),
    ...(isCross() ? crossTo(platformName()).variables : {}),
  };
  return Object.entries(options).map(([key, value]) => `--CD${key}=${value}`);
}

function build(toolchain, deps) {
  dropForeignTree(tree, toolchain.generator);
  if (!deps.mlxC) rmSync(join(products, 'mlx'), { recursive: true, force: true });
  const compilers = process.env.CXX && !isCross() ? ['--cxx', process.env.CXX] : [];
  cmakeJs('configure', ['--generator', toolchain.generator, ...compilers, ...cmakeOptions(toolchain, deps)]);
  cmakeJs('build', ['--generator', toolchain.generator, '--parallel', String(availableParallelism())]);
}

/** Replaces `to` by a copy of `from` in one step, so that a process that uses the old one keeps it. */
function replace(from, to) {
  const fresh = `${to}.${process.pid}.new`;
  const old = `${to}.${process.pid}.old`;
  cpSync(from, fresh, { recursive: true, preserveTimestamps: true });
  if (existsSync(to)) renameSync(to, old);
  renameSync(fresh, to);
  rmSync(old, { recursive: true, force: true });
}

function install(out, reason) {
  mkdirSync(out, { recursive: true });
  const addon = join(out, 'stomp_serve.node');
  replace(join(products, 'stomp_serve.node'), addon);
  // It is current now, even if nothing had to be linked.
  utimesSync(addon, new Date(), new Date());
  const mlx = join(products, 'mlx');
  const built = ['libstomp_mlx.so', 'libstomp_mlx.dylib'].some((name) => existsSync(join(mlx, name)));
  if (!built) {
    rmSync(mlx, { recursive: true, force: true });
    mkdirSync(mlx);
    writeFileSync(join(mlx, 'SKIPPED.txt'), `${reason}\n`);
  }
  replace(mlx, join(out, 'mlx'));
  return built;
}

function main() {
  const at = process.argv.indexOf('--out');
  const out = at < 0 ? join(root, 'build', 'Release') : resolve(process.argv[at + 1]);
  if (!hasEngine()) throw new Failure(`there is no inference engine for ${platformName()}`);
  const toolchain = findToolchain();
  if ('message' in toolchain) throw new Failure(toolchain.message);
  const deps = fetchAll();
  build(toolchain, deps);
  const reason = deps.reason ?? 'CMake left it out, see its output';
  if (install(out, reason)) return;
  if (process.env.STOMP_REQUIRE_MLX === '1') throw new Failure(`no MLX executor: ${reason}`);
  console.error(`stomp-serve: built without the MLX executor: ${reason}`);
}

try {
  main();
} catch (error) {
  if (!(error instanceof Failure)) throw error;
  console.error(error.message.startsWith('stomp-serve') ? error.message : `stomp-serve: ${error.message}`);
  process.exitCode = 1;
}
