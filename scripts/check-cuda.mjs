/**
 * Compiles and links the MLX executor for NVIDIA GPUs, and compiles its kernels with NVRTC for several GPUs, on
 * any Linux machine: neither a GPU nor a driver is needed, and nothing of it is run. Brings what it needs from
 * the Python package index (about 150 MB) to the cache that builds share. Fails when the library asks for what it
 * should not, or a kernel is refused or spills registers.
 *
 *   node scripts/check-cuda.mjs
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { cached, fetchMlx, fetchMlxC, pins } from '../cpp/deps/fetch.mjs';
import { configure, run } from './native/cpp-tests.mjs';
import { cudaLibraries } from './native/cuda.mjs';
import { systemNeeds } from './native/elf-needs.mjs';
import { findToolchain } from './native/toolchain.mjs';

/** NVRTC and the headers that it reads, in pip's layout; no Python imports them. */
function fetchNvrtc() {
  const packages = Object.entries(pins.cudaTools).map(([name, version]) => `${name}==${version}`);
  return cached(`nvrtc-${Object.values(pins.cudaTools).join('-')}`, (staging) => {
    console.log(`fetching ${packages.join(', ')}`);
    const python = process.env.PYTHON || 'python3';
    const options = ['--target', staging, '--no-deps', '--only-binary', ':all:', '--quiet'];
    run(python, ['-m', 'pip', 'install', '--disable-pip-version-check', ...options, ...packages]);
  });
}

/**
 * The headers that MLX hands to NVRTC are texts in its library, which end with a NUL.
 * @param {Buffer} library
 * @param {string} mark what the header has and no other text
 */
function headerIn(library, mark) {
  for (let at = library.indexOf(mark); at >= 0; at = library.indexOf(mark, at + 1)) {
    const text = library.subarray(library.lastIndexOf(0, at) + 1, library.indexOf(0, at)).toString();
    if (text.startsWith('//')) return text;
  }
  throw new Error(`MLX's library has no header with "${mark}"`);
}

function writeHeaders(mlx, folder) {
  const library = readFileSync(join(mlx, 'mlx', 'lib', 'libmlx.so'));
  const device = join(folder, 'mlx', 'backend', 'cuda', 'device');
  mkdirSync(device, { recursive: true });
  const marks = {
    'utils.cuh': 'AlignedVector',
    'complex.cuh': '#include <cuda/std/complex>',
    'config.h': '#define WARP_SIZE',
  };
  for (const [name, mark] of Object.entries(marks)) {
    writeFileSync(join(device, name), headerIn(library, mark));
  }
}

/** @returns one line for each thing that is not as it must be */
function linkProblems(tree) {
  const out = join(tree, 'mlx');
  const own = systemNeeds('readelf', join(out, 'libstomp_mlx.so'));
  const theirs = systemNeeds('readelf', join(out, 'mlx', 'lib', 'libmlx.so'));
  console.log(`libstomp_mlx.so needs ${own.libraries}; glibc ${own.GLIBC}, libstdc++ ${own.GLIBCXX}`);
  console.log(`libmlx.so needs ${theirs.libraries}; glibc ${theirs.GLIBC}`);
  const known = Object.keys(cudaLibraries);
  const asked = theirs.libraries.split(' ').filter((name) => /cu|nv|nccl/.test(name));
  return [
    own.libraries.split(' ').includes('libmlx.so') ? '' : 'libstomp_mlx.so does not name libmlx.so',
    /\blib(cu|nv)/.test(own.libraries) ? 'libstomp_mlx.so names libraries of CUDA itself' : '',
    readdirSync(out).some((name) => /^mlx_cuda.*\.libs$/.test(name))
      ? ''
      : "the wheel's own libraries are missing",
    ...asked
      .filter((name) => name !== 'libcuda.so.1' && !known.includes(name))
      .map((name) => `libmlx.so needs ${name}, which scripts/native/cuda.mjs does not know`),
    ...known.filter((name) => !asked.includes(name)).map((name) => `libmlx.so does not need ${name}`),
  ].filter(Boolean);
}

function compileKernels(tree, mlx, nvrtc) {
  const headers = join(tree, 'cuda-headers');
  writeHeaders(mlx, headers);
  const cuda = join(nvrtc, 'nvidia', 'cu13');
  const library = join(cuda, 'lib', 'libnvrtc.so.13');
  if (!existsSync(library)) throw new Error(`there is no ${library}`);
  // Where MLX looks: beside its library as it was built, then among CUDA's.
  const beside = join(tree, 'mlx', 'mlx', 'include');
  const includes = [headers, beside, join(beside, 'cccl'), join(cuda, 'include')];
  const program = join(tree, 'tests', 'cpp', 'stomp_cuda_compile');
  return spawnSync(program, [library, ...includes], { stdio: 'inherit' }).status === 0;
}

function main() {
  const toolchain = findToolchain();
  if ('message' in toolchain) throw new Error(toolchain.message);
  const deps = { mlx: fetchMlx({ cuda: true }), mlxC: fetchMlxC(), cuda: {} };
  const tree = configure('build-cuda', toolchain, deps, {});
  const targets = ['stomp_mlx', 'stomp_cuda_compile'];
  run('cmake', ['--build', tree, '--parallel', String(availableParallelism()), '--target', ...targets]);
  const problems = linkProblems(tree);
  for (const problem of problems) console.error(`FAIL  ${problem}`);
  return compileKernels(tree, deps.mlx, fetchNvrtc()) && problems.length === 0;
}

try {
  process.exitCode = main() ? 0 : 1;
} catch (error) {
  console.error(`stomp-serve: ${error.message}`);
  process.exitCode = 1;
}
