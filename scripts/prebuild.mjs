/**
 * Fills prebuilds/<platform>-<arch>/, which is what a package has instead of compilers:
 *
 *   node scripts/prebuild.mjs [--arch x64|arm64] [--glibc 2.28]
 *
 *   stomp-serve.glibc.node   the addon, by prebuildify
 *   mlx/libstomp_mlx.so      the MLX executor; MLX itself is brought by `stomp-serve setup mlx`
 *   mlx/notices/             of what is linked into it
 *
 * Another architecture of Linux is built for by a cross compiler. Prints what the products need of the
 * system; --glibc refuses products that need a later one.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { crossTo } from './native/cross.mjs';
import { systemNeeds } from './native/elf-needs.mjs';
import { atLeast } from './native/platform.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');

function options() {
  const { values } = parseArgs({ options: { arch: { type: 'string' }, glibc: { type: 'string' } } });
  const arch = values.arch ?? process.arch;
  const platform = `${process.platform}-${arch}`;
  const here = { strip: 'strip', readelf: 'readelf' };
  return { arch, platform, glibc: values.glibc, ...(arch === process.arch ? here : crossTo(platform)) };
}

/** A folder that node-gyp may empty, so that the working build stays as it is. */
function makeStaging(platform) {
  const folder = join(root, `build-prebuild-${platform}`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  for (const name of ['package.json', 'binding.gyp', 'CMakeLists.txt', 'scripts', 'node_modules']) {
    symlinkSync(join(root, name), join(folder, name));
  }
  return folder;
}

function prebuildify({ arch, platform, strip }, staging) {
  const cli = join(dirname(createRequire(import.meta.url).resolve('prebuildify/package.json')), 'bin.js');
  const args = ['--napi', '--tag-libc', '--strip', '--strip-bin', strip, '--arch', arch];
  const { status } = spawnSync(process.execPath, [cli, ...args, '--cwd', staging, '--out', root], {
    cwd: root,
    stdio: 'inherit',
    env: {
      ...process.env,
      npm_config_nodedir: join(root, 'cpp', 'deps', 'nodedir'),
      STOMP_FORCE_PLATFORM: platform,
      STOMP_PORTABLE: '1',
      STOMP_REQUIRE_MLX: '1',
    },
  });
  if (status !== 0) throw new Error(`stomp-serve: no prebuild for ${platform}, see above`);
}

/** The executor and the notices of what it contains, without MLX's own libraries. */
function copyExecutor(built, target, strip) {
  const library = process.platform === 'darwin' ? 'libstomp_mlx.dylib' : 'libstomp_mlx.so';
  mkdirSync(target, { recursive: true });
  cpSync(join(built, library), join(target, library));
  const flags = process.platform === 'darwin' ? ['-Sx'] : ['--strip-unneeded'];
  if (spawnSync(strip, [...flags, join(target, library)], { stdio: 'inherit' }).status !== 0)
    throw new Error(`stomp-serve: ${strip} failed`);
  cpSync(join(built, 'notices', 'mlx-c'), join(target, 'notices', 'mlx-c'), { recursive: true });
  return join(target, library);
}

/** Says what the files need of a Linux system, and holds the addon to a bound. */
function checkNeeds(files, { readelf, glibc }) {
  for (const file of files) {
    const needs = systemNeeds(readelf, file);
    console.log(`${file.slice(root.length + 1)}: ${JSON.stringify(needs)}`);
    if (!file.endsWith('.node')) continue;
    if (needs.GLIBCXX) throw new Error(`stomp-serve: ${file} needs libstdc++ of the system`);
    if (glibc && !atLeast(glibc, needs.GLIBC))
      throw new Error(`stomp-serve: ${file} needs glibc ${needs.GLIBC}, later than ${glibc}`);
  }
}

function main() {
  const target = options();
  const folder = join(root, 'prebuilds', target.platform);
  rmSync(folder, { recursive: true, force: true });
  const staging = makeStaging(target.platform);
  prebuildify(target, staging);
  const built = join(staging, 'build', 'Release', 'mlx');
  const executor = copyExecutor(built, join(folder, 'mlx'), target.strip);
  rmSync(staging, { recursive: true });
  const addon = ['stomp-serve.glibc.node', 'stomp-serve.node']
    .map((name) => join(folder, name))
    .find((path) => existsSync(path));
  if (process.platform === 'linux') checkNeeds([addon, executor], target);
  console.log(`stomp-serve: ${folder}`);
}

try {
  main();
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
