/**
 * Compiles and links the addon and the MLX executor for macOS on arm64, from any machine, without running them:
 * all of cpp/core, cpp/core/exec/mlx and cpp/binding against MLX's Metal wheel, and a probe of MLX's Metal headers.
 * Says what the products are, and fails when they are not what macOS would open.
 *
 *   node scripts/check-darwin.mjs
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

// Before the modules that ask for it are loaded.
process.env.STOMP_FORCE_PLATFORM = 'darwin-arm64';

const { fetchAll } = await import('../cpp/deps/fetch.mjs');
const { cmakeVariables, dropForeignTree } = await import('./native/cmake.mjs');
const { readMachO, undefinedSymbols } = await import('./native/mach-o.mjs');
const { findToolchain } = await import('./native/toolchain.mjs');
const { darwinToolchain } = await import('./native/zig.mjs');

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const tree = join(root, 'build-native-darwin-arm64');
const oldestMacos = '15.0';

function run(command, args) {
  const { status } = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  if (status !== 0) throw new Error(`stomp-serve: ${command} ${args[0]} failed`);
}

function configure(toolchain, deps) {
  const require = createRequire(import.meta.url);
  const headers = [require('node-api-headers').include_dir, require('node-addon-api').include_dir];
  const tools = join(tree, 'tools');
  mkdirSync(tools, { recursive: true });
  const variables = {
    ...cmakeVariables({ ...toolchain, ccache: false }, deps),
    ...darwinToolchain(tools, oldestMacos),
    STOMP_BINDING: 'ON',
    CMAKE_JS_INC: headers.map((path) => resolve(path)).join(';'),
    CMAKE_BUILD_TYPE: 'Release',
    CMAKE_LIBRARY_OUTPUT_DIRECTORY: join(tree, 'Release'),
  };
  const defines = Object.entries(variables).map(([key, value]) => `-D${key}=${value}`);
  run('cmake', ['-S', root, '-B', tree, '-G', toolchain.generator, '--log-level=WARNING', ...defines]);
  return variables.CMAKE_CXX_COMPILER;
}

/** MLX's Metal side, which a primitive of our own includes. */
function probeMetal(compiler, mlx) {
  const source = join(tree, 'probe.cc');
  writeFileSync(
    source,
    '#include "mlx/backend/metal/device.h"\nsize_t n = sizeof(mlx::core::metal::Device);\n',
  );
  const include = join(mlx, 'mlx', 'include');
  const args = ['-std=c++20', '-c', source, '-o', join(tree, 'probe.o')];
  run(compiler, [...args, '-isystem', include, '-isystem', join(include, 'metal_cpp')]);
}

/** @returns one line for each thing that is not as it must be */
function problemsOf(name, { cpu, kind, macos, libraries, rpaths }, expected) {
  return [
    cpu === 'arm64' ? '' : `it is for ${cpu}`,
    expected.kinds.includes(kind) ? '' : `it is a ${kind}`,
    macos === oldestMacos ? '' : `it is for macOS ${macos}`,
    ...expected.libraries
      .filter((library) => !libraries.includes(library))
      .map((one) => `it does not name ${one}`),
    ...expected.rpaths.filter((path) => !rpaths.includes(path)).map((path) => `it does not look in ${path}`),
  ]
    .filter(Boolean)
    .map((problem) => `${name}: ${problem}`);
}

const products = {
  'Release/stomp_serve.node': { kinds: ['bundle', 'dynamic library'], libraries: [], rpaths: [] },
  'Release/mlx/libstomp_mlx.dylib': {
    kinds: ['dynamic library'],
    libraries: ['@rpath/libmlx.dylib'],
    rpaths: ['@loader_path/mlx/lib'],
  },
};

function describe(name) {
  const bytes = readFileSync(join(tree, name));
  const found = readMachO(bytes);
  console.log(
    `${name}: Mach-O 64-bit ${found.kind} ${found.cpu}, macOS ${found.macos} or later, ${bytes.length} bytes; ` +
      `libraries ${found.libraries.join(' ')}${found.rpaths.length ? `; rpath ${found.rpaths.join(' ')}` : ''}`,
  );
  return [...problemsOf(name, found, products[name]), ...missingOf(name, bytes)];
}

/** What MLX does not have, however its headers read: it would be found out when the library is opened. */
function missingOf(name, bytes) {
  return undefinedSymbols(bytes)
    .filter(
      ({ name: symbol, library }) =>
        /^__ZN?K?(3mlx|3MTL|2NS)/.test(symbol) && library !== '@rpath/libmlx.dylib',
    )
    .map(({ name: symbol }) => `${name}: nothing brings ${symbol}`);
}

function main() {
  const toolchain = findToolchain();
  if ('message' in toolchain) throw new Error(toolchain.message);
  const deps = fetchAll();
  if (!deps.mlx || !deps.mlxC) throw new Error(`stomp-serve: no MLX to build against: ${deps.reason}`);
  dropForeignTree(tree, toolchain.generator);
  const compiler = configure(toolchain, deps);
  probeMetal(compiler, deps.mlx);
  run('cmake', ['--build', tree, '--parallel', String(availableParallelism())]);
  const problems = Object.keys(products).flatMap(describe);
  for (const problem of problems) console.error(`FAIL  ${problem}`);
  console.log(`${Object.keys(products).length + 1 - problems.length} passed, ${problems.length} failed`);
  return problems.length === 0;
}

try {
  process.exitCode = main() ? 0 : 1;
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
