/**
 * Brings the pinned native dependencies of the MLX executor to a cache that all checkouts of this
 * user share: MLX itself from its Python wheel (no Python at run time), mlx-c from the sources that
 * the pinned crate carries. pins.json is the lock: exact versions and SHA-256 of both archives.
 *
 *   node cpp/deps/fetch.mjs     prints `mlx <folder>` and `mlx-c <folder>`; exit status 1 without them
 *
 * An entry appears in the cache by one rename, when it is complete and verified, so that builds may
 * run side by side.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chooseCuda } from '../../scripts/native/cuda.mjs';
import { atLeast, darwinMajor, glibcVersion, platformName, runs } from '../../scripts/native/platform.mjs';

export const pins = JSON.parse(readFileSync(new URL('./pins.json', import.meta.url), 'utf8'));

/** A dependency that cannot be had here; the message is one line and says why. */
export class Unavailable extends Error {}

/** Where everything that is brought at build time is kept. */
export function depsCache() {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'stomp-serve', 'deps');
}

/**
 * The folder of one cache entry, filled by `fill(folder)` when it is not there yet.
 * @param {string} name changes whenever the content would
 * @param {(staging: string) => void} fill
 */
export function cached(name, fill) {
  const folder = join(depsCache(), name);
  if (existsSync(folder)) return folder;
  mkdirSync(depsCache(), { recursive: true });
  const staging = mkdtempSync(join(depsCache(), '.staging-'));
  try {
    fill(staging);
    publish(staging, folder);
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
  return folder;
}

function publish(staging, folder) {
  try {
    renameSync(staging, folder);
  } catch (error) {
    // Another build was faster: its entry has the same name and therefore the same content.
    if (!existsSync(folder)) throw error;
  }
}

function say(text) {
  process.stderr.write(`stomp-serve: ${text}\n`);
}

/** Runs a command; throws Unavailable with the last lines it wrote. */
function run(command, args, { what, ...options } = {}) {
  const result = spawnSync(command, args, { encoding: 'utf8', ...options });
  if (result.status === 0) return result.stdout;
  const output = `${result.stderr ?? ''}\n${result.stdout ?? ''}`.trim();
  const reason = result.error?.message ?? output.split('\n').slice(-2).join(' ').trim();
  throw new Unavailable(`${what} failed: ${reason || `status ${result.status}`}`);
}

function verify(file, sha256) {
  const actual = createHash('sha256').update(readFileSync(file)).digest('hex');
  if (actual === sha256) return;
  rmSync(file, { force: true });
  throw new Unavailable(
    `${file} has SHA-256 ${actual}, pinned is ${sha256}: the download was damaged or is not the ` +
      'published file; it was removed, try again',
  );
}

/**
 * The pinned wheel for this machine, as pins.json has it.
 * @param {{ cuda?: boolean }} options cuda: the one that computes on NVIDIA GPUs
 * @throws Unavailable
 */
export function wheelForThisMachine({ cuda = false } = {}) {
  const platform = platformName();
  const wheel = pins.mlx.wheels.find(
    (entry) =>
      entry.on === platform &&
      (entry.cuda !== undefined) === cuda &&
      (entry.minDarwin === undefined || darwinMajor() >= entry.minDarwin),
  );
  if (!wheel)
    throw new Unavailable(
      `there is no MLX ${pins.mlx.version} wheel for ${cuda ? 'CUDA on ' : ''}${platform}`,
    );
  // What is built for other systems is not opened on this one.
  if (process.env.STOMP_PORTABLE === '1') return wheel;
  const glibc = glibcVersion();
  if (platform.startsWith('linux') && (!glibc || !atLeast(glibc, pins.mlx.glibc))) {
    throw new Unavailable(
      `MLX's wheel needs glibc ${pins.mlx.glibc} or later, this system has ${glibc ?? 'none'}`,
    );
  }
  return wheel;
}

/** The command that is Python with pip: `python3`, or what `PYTHON` names. */
function pythonWithPip() {
  const python = process.env.PYTHON || 'python3';
  if (!runs(python, ['--version'])) throw new Unavailable('python3 was not found');
  if (!runs(python, ['-m', 'pip', '--version'])) {
    throw new Unavailable('python3 has no pip (on Debian and Ubuntu: apt install python3-pip)');
  }
  return python;
}

/**
 * MLX: a folder with `mlx/` (libraries, headers, CMake files) and, on Linux, `mlx_cpu.libs/` or
 * `mlx_cuda_13.libs/`.
 * @param {{ cuda?: boolean }} options
 * @throws Unavailable
 */
export function fetchMlx({ cuda = false } = {}) {
  const wheel = wheelForThisMachine({ cuda });
  const { version } = pins.mlx;
  return cached(`mlx-${version}-${wheel.tag}-${wheel.sha256.slice(0, 12)}`, (staging) => {
    const python = pythonWithPip();
    const downloads = `${staging}.wheel`;
    try {
      say(`fetching MLX ${version} (${wheel.package}, ${wheel.tag})`);
      run(
        python,
        ['-m', 'pip', 'download', `${wheel.package}==${version}`, '--dest', downloads, '--no-deps', '--quiet']
          .concat(['--only-binary', ':all:', '--platform', wheel.tag])
          .concat(['--retries', '2', '--disable-pip-version-check']),
        { what: 'the download of MLX with pip' },
      );
      const file = onlyFile(downloads, '.whl');
      verify(file, wheel.sha256);
      run(python, ['-m', 'zipfile', '-e', file, staging], { what: 'unpacking MLX' });
    } finally {
      rmSync(downloads, { recursive: true, force: true });
    }
  });
}

function onlyFile(folder, suffix) {
  const name = readdirSync(folder).find((entry) => entry.endsWith(suffix));
  if (!name) throw new Unavailable(`${folder} has no ${suffix} file after the download`);
  return join(folder, name);
}

/**
 * The sources of mlx-c, private headers included.
 * @throws Unavailable
 */
export function fetchMlxC() {
  const { crate, version, sha256, folder } = pins.mlxC;
  return cached(`mlx-c-${version}-${sha256.slice(0, 12)}`, (staging) => {
    if (!runs('cargo', ['--version'])) throw new Unavailable('cargo was not found (rustup brings it)');
    say(`fetching mlx-c ${version} (crate ${crate})`);
    const project = `${staging}.crate`;
    try {
      writeCargoProject(project);
      run('cargo', ['fetch', '--quiet', '--manifest-path', join(project, 'Cargo.toml')], {
        what: `the download of ${crate} with cargo`,
        env: { CARGO_NET_RETRY: '2', ...process.env },
      });
      const file = downloadedCrate(`${crate}-${version}.crate`);
      verify(file, sha256);
      const strip = 1 + folder.split('/').length;
      run(
        'tar',
        ['-xzf', file, '-C', staging, `--strip-components=${strip}`, `${crate}-${version}/${folder}`],
        {
          what: 'unpacking mlx-c',
        },
      );
    } finally {
      rmSync(project, { recursive: true, force: true });
    }
  });
}

/**
 * A project whose one real dependency is the crate. What the crate needs to be built (it is not) is
 * replaced by empty packages, so that cargo downloads this one file and nothing else.
 */
function writeCargoProject(folder) {
  const { crate, version, buildDependencies } = pins.mlxC;
  const patches = Object.keys(buildDependencies).map((name) => `${name} = { path = "${name}" }`);
  writePackage(folder, 'stomp-deps', '0.0.0', [
    '[dependencies]',
    `${crate} = "=${version}"`,
    '[patch.crates-io]',
    ...patches,
  ]);
  for (const [name, stubVersion] of Object.entries(buildDependencies)) {
    writePackage(join(folder, name), name, stubVersion, []);
  }
}

function writePackage(folder, name, version, lines) {
  mkdirSync(folder, { recursive: true });
  const head = ['[package]', `name = "${name}"`, `version = "${version}"`, 'edition = "2018"'];
  const manifest = [...head, '[lib]', 'path = "lib.rs"', ...lines, ''];
  writeFileSync(join(folder, 'Cargo.toml'), manifest.join('\n'));
  writeFileSync(join(folder, 'lib.rs'), '');
}

/** The archive as cargo keeps it, one folder per registry. */
function downloadedCrate(name) {
  const cache = join(process.env.CARGO_HOME || join(homedir(), '.cargo'), 'registry', 'cache');
  const registries = existsSync(cache) ? readdirSync(cache) : [];
  const file = registries.map((registry) => join(cache, registry, name)).find((path) => existsSync(path));
  if (!file) throw new Unavailable(`cargo did not leave ${name} under ${cache}`);
  return file;
}

/**
 * What the MLX executor is built from. `mlx` may be missing where `reason` says why: a system MLX of
 * the pinned version can stand in for the wheel, nothing for mlx-c. `cuda` is there when `mlx` computes on
 * NVIDIA GPUs (native/cuda.mjs says when): where the libraries lie that it needs.
 * @returns {{ mlx?: string, mlxC?: string, cuda?: import('../../scripts/native/cuda.mjs').CudaLibraries, reason?: string }}
 */
export function fetchAll() {
  if (process.env.STOMP_SKIP_MLX === '1') return { reason: 'STOMP_SKIP_MLX=1 asked for it' };
  const { cuda, note } = chooseCuda();
  if (note) say(note);
  const found = cuda ? { cuda } : {};
  for (const [key, fetch] of [
    ['mlxC', fetchMlxC],
    ['mlx', () => fetchMlx({ cuda: cuda !== undefined })],
  ]) {
    try {
      found[key] = fetch();
    } catch (error) {
      // Errors of the file system (no room, read-only cache) cost the executor too, not the build.
      if (!(error instanceof Unavailable) && error.code === undefined) throw error;
      found.reason ??= error.message;
    }
  }
  return found;
}

function main() {
  const { mlx, mlxC, reason } = fetchAll();
  if (mlx) console.log(`mlx ${mlx}`);
  if (mlxC) console.log(`mlx-c ${mlxC}`);
  if (reason) {
    say(reason);
    process.exitCode = 1;
  }
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) main();
