/**
 * Building for another machine than this one: which compiler does, and what CMake has to be told.
 * `STOMP_FORCE_PLATFORM` names the other machine.
 */
import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { platformName, runs } from './platform.mjs';

/** GNU compilers, by what they build for; the packages are Debian's. */
const crossTools = {
  'linux-arm64': { prefix: 'aarch64-linux-gnu-', processor: 'aarch64', package: 'g++-aarch64-linux-gnu' },
  'linux-x64': { prefix: 'x86_64-linux-gnu-', processor: 'x86_64', package: 'g++-x86-64-linux-gnu' },
};

/**
 * @param {string} platform such as `linux-arm64`
 * @returns {{ compiler: string, strip: string, readelf: string, variables: Record<string, string> }} the
 * variables are CMake's
 * @throws Error that says what to install
 */
export function crossTo(platform) {
  const tools = crossTools[platform];
  if (!tools) throw new Error(`stomp-serve: nothing is known about building for ${platform} from here`);
  const compiler = `${tools.prefix}g++`;
  if (!runs(compiler, ['--version'])) {
    throw new Error(
      `stomp-serve: building for ${platform} needs ${compiler}, which this machine lacks.\n` +
        'Install what is missing, then run the same command again:\n' +
        `  Debian, Ubuntu   sudo apt-get install ${tools.package}`,
    );
  }
  return {
    compiler,
    strip: `${tools.prefix}strip`,
    readelf: `${tools.prefix}readelf`,
    variables: {
      CMAKE_SYSTEM_NAME: 'Linux',
      CMAKE_SYSTEM_PROCESSOR: tools.processor,
      CMAKE_C_COMPILER: `${tools.prefix}gcc`,
      CMAKE_CXX_COMPILER: compiler,
    },
  };
}

/** Whether what is asked for is another machine than this one. */
export function isCross() {
  return platformName() !== `${process.platform}-${process.arch}`;
}

/** The folder that holds `lib/libc.so.6` of a cross compiler: qemu-user's `-L`. */
export function crossLibraries(compiler) {
  const { stdout } = spawnSync(compiler, ['-print-file-name=libc.so.6'], { encoding: 'utf8' });
  return resolve(stdout.trim(), '..', '..');
}
