/**
 * A compiler for macOS on any machine: zig's, from its Python wheel, pinned and kept with the other dependencies.
 * It brings the system's C and C++ headers and libSystem, but no frameworks: for those there are stubs, enough to
 * compile against metal-cpp and to link. What it makes is checked, never run.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { cached, pins } from '../../cpp/deps/fetch.mjs';

/** What metal-cpp takes from Apple's frameworks: types only. */
const stubHeaders = {
  'CoreFoundation/CoreFoundation.h': 'typedef double CFTimeInterval;',
  'CoreGraphics/CGColorSpace.h': 'typedef struct CGColorSpace* CGColorSpaceRef;',
  'CoreGraphics/CGGeometry.h': 'struct CGSize { double width, height; };',
  'IOSurface/IOSurfaceRef.h': 'typedef struct __IOSurface* IOSurfaceRef;',
};

/** What MLX's wheel says must be linked; symbols are looked up when the library is opened. */
const frameworks = ['Metal', 'Foundation', 'QuartzCore', 'Accelerate'];

/** The program, fetched on first use. */
function zig() {
  const { package: name, version } = pins.zig;
  const folder = cached(`${name}-${version}`, (staging) => {
    console.error(`stomp-serve: fetching ${name} ${version} (100 MB)`);
    const args = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-deps'];
    const { status } = spawnSync(
      process.env.PYTHON || 'python3',
      [...args, '--target', staging, `${name}==${version}`],
      { stdio: 'inherit', env: { ...process.env, PIP_ROOT_USER_ACTION: 'ignore' } },
    );
    if (status !== 0) throw new Error('stomp-serve: zig could not be installed; it needs python3 with pip');
  });
  return join(folder, 'ziglang', 'zig');
}

function writeStubs(folder) {
  for (const [name, text] of Object.entries(stubHeaders)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), `#pragma once\n#include <stdint.h>\n${text}\n`);
  }
  for (const name of frameworks) {
    const framework = join(folder, `${name}.framework`);
    mkdirSync(framework, { recursive: true });
    const path = `/System/Library/Frameworks/${name}.framework/Versions/A/${name}`;
    writeFileSync(
      join(framework, `${name}.tbd`),
      `--- !tapi-tbd\ntbd-version: 4\ntargets: [ arm64-macos ]\ninstall-name: '${path}'\n...\n`,
    );
  }
}

function writeTool(folder, name, text) {
  const path = join(folder, name);
  writeFileSync(path, `#!/bin/sh\n${text}\n`);
  chmodSync(path, 0o755);
  return path;
}

/** Elsewhere than on macOS CMake takes it for one so old that its libraries look in no folders of their own. */
function writeRules(folder) {
  const path = join(folder, 'rules.cmake');
  writeFileSync(path, 'set(CMAKE_SHARED_LIBRARY_RUNTIME_C_FLAG "-Wl,-rpath,")\n');
  return path;
}

/**
 * Compilers in the shape that CMake takes.
 * @param {string} folder is filled with them
 * @param {string} macos the oldest macOS, for example `15.0`
 * @returns {Record<string, string>} CMake's variables
 */
export function darwinToolchain(folder, macos) {
  const program = zig();
  const stubs = join(folder, 'stubs');
  writeStubs(stubs);
  const target = `-target aarch64-macos.${macos} -isystem '${stubs}'`;
  // Linked as C, or zig's own C++ library would go in: the system's is looked up in the process that opens us.
  const link = `exec '${program}' cc ${target} -F'${stubs}' -undefined dynamic_lookup "$@"`;
  // Zig takes the name of an architecture for that of a processor; what it assumes of Apple's has all we ask for. Its
  // linker makes no bundles, and Node opens a dynamic library as well.
  const words =
    'for word; do shift; case $word in -march=*) ;; -bundle) set -- "$@" -shared ;; *) set -- "$@" "$word" ;; esac; done';
  const compile = (language) =>
    `${words}\nfor word in "$@"; do [ "$word" = -c ] && exec '${program}' ${language} ${target} "$@"; done\n${link}`;
  return {
    CMAKE_SYSTEM_NAME: 'Darwin',
    CMAKE_USER_MAKE_RULES_OVERRIDE: writeRules(folder),
    CMAKE_SYSTEM_PROCESSOR: 'arm64',
    CMAKE_OSX_ARCHITECTURES: '',
    CMAKE_OSX_SYSROOT: '',
    CMAKE_OSX_DEPLOYMENT_TARGET: '',
    CMAKE_TRY_COMPILE_TARGET_TYPE: 'STATIC_LIBRARY',
    CMAKE_C_COMPILER: writeTool(folder, 'cc', compile('cc')),
    // Its C++ headers need what its <math.h> defines, which a <float.h> before it takes away.
    CMAKE_CXX_COMPILER: writeTool(folder, 'cxx', compile('c++ -include math.h')),
    CMAKE_AR: writeTool(folder, 'ar', `exec '${program}' ar "$@"`),
    CMAKE_RANLIB: writeTool(folder, 'ranlib', `exec '${program}' ranlib "$@"`),
  };
}
