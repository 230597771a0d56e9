// llama.cpp's own server, built from the sources that the PyPI package llama-cpp-python carries, with llama.cpp's
// defaults for this machine. Kept in a cache folder; the first build takes most of an hour on two cores.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const version = '0.3.36';
const base = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'stomp-serve', 'bench');
const folder = join(base, `llama-cpp-python-${version}`);
const sources = join(folder, `llama_cpp_python-${version}`, 'vendor', 'llama.cpp');
const tree = join(folder, 'build');
const program = join(tree, 'bin', 'llama-server');

const options = {
  CMAKE_BUILD_TYPE: 'Release',
  BUILD_SHARED_LIBS: 'OFF',
  GGML_NATIVE: 'ON',
  GGML_OPENMP: 'ON',
  LLAMA_BUILD_TESTS: 'OFF',
  LLAMA_BUILD_EXAMPLES: 'OFF',
  LLAMA_BUILD_APP: 'OFF',
  LLAMA_BUILD_UI: 'OFF',
  LLAMA_USE_PREBUILT_UI: 'OFF',
  LLAMA_OPENSSL: 'OFF',
};

function run(command, args) {
  // A low priority: whoever else uses the machine goes first.
  const { status, error } = spawnSync('nice', ['-n', '10', command, ...args], {
    stdio: ['ignore', 2, 2],
    env: { ...process.env, PIP_DISABLE_PIP_VERSION_CHECK: '1' },
  });
  if (status !== 0) throw new Error(`${command} ${args[0]} failed${error ? `: ${error.message}` : ''}`);
}

function unpack() {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const package_ = `llama-cpp-python==${version}`;
  const python = process.env.PYTHON || 'python3';
  run(python, [
    ...['-m', 'pip', 'download', '--quiet', '--no-deps', '--dest', folder],
    ...['--no-binary', 'llama-cpp-python', package_],
  ]);
  const archive = readdirSync(folder).find((name) => name.endsWith('.tar.gz'));
  run('tar', ['-xzf', join(folder, archive), '-C', folder]);
}

/**
 * Builds on first use, one job at a time unless told otherwise.
 * @param {number} jobs
 * @returns {string} path of the program
 */
export function llamaServer(jobs = 1) {
  if (existsSync(program)) return program;
  if (!existsSync(sources)) unpack();
  process.stderr.write(`building llama-server in ${tree}; this takes long\n`);
  const defines = Object.entries(options).map(([key, value]) => `-D${key}=${value}`);
  run('cmake', ['-S', sources, '-B', tree, ...defines]);
  run('cmake', ['--build', tree, '--target', 'llama-server', '--parallel', String(jobs)]);
  return program;
}
