/**
 * Whether this machine can build the addon, and with what. One message says everything that is missing
 * and how to get it.
 */
import { spawnSync } from 'node:child_process';
import { atLeast, platformName, runs } from './platform.mjs';

// Fails on compilers that are too old as well as on ones that are not there.
const probe =
  '#include <concepts>\n#include <span>\n#include <version>\nstatic_assert(__cplusplus >= 202002L);\n';

function compiles(command) {
  const [program, ...flags] = command.split(' ');
  const args = [...flags, '-std=c++20', '-x', 'c++', '-fsyntax-only', '-'];
  return spawnSync(program, args, { input: probe, stdio: ['pipe', 'ignore', 'ignore'] }).status === 0;
}

/** The compiler that CMake will choose: `CXX`, else the first of the usual names. */
function compiler() {
  const candidates = process.env.CXX ? [process.env.CXX] : ['c++', 'g++', 'clang++'];
  return candidates.find((candidate) => compiles(candidate));
}

/** The CMake generator to use, or undefined when there is neither ninja nor make. */
function generator() {
  if (runs('ninja', ['--version'])) return 'Ninja';
  if (runs('make', ['--version'])) return 'Unix Makefiles';
  return undefined;
}

const oldestCmake = '3.22';

function cmakeIsFine() {
  const { stdout } = spawnSync('cmake', ['--version'], { encoding: 'utf8' });
  const version = stdout?.match(/version (\d+\.\d+)/)?.[1];
  return version !== undefined && atLeast(version, oldestCmake);
}

const remedies = {
  linux:
    '  Debian, Ubuntu   sudo apt-get install g++ cmake make\n' +
    '  Fedora, RHEL     sudo dnf install gcc-c++ cmake make\n' +
    '  Arch             sudo pacman -S gcc cmake make\n' +
    '  Alpine           sudo apk add g++ cmake make',
  darwin: '  xcode-select --install\n  brew install cmake ninja',
};

/**
 * @returns {{ message: string } | { compiler: string, generator: string, ccache: boolean }}
 * the tools, or the message that says what is missing
 */
export function findToolchain() {
  const found = { compiler: compiler(), generator: generator(), ccache: runs('ccache', ['--version']) };
  const missing = [];
  if (!found.compiler) {
    const named = process.env.CXX ? ` (CXX names "${process.env.CXX}")` : '';
    missing.push(`a C++20 compiler (gcc 12, clang 15 or later)${named}`);
  }
  if (!cmakeIsFine()) missing.push(`cmake (${oldestCmake} or later)`);
  if (!found.generator) missing.push('ninja or make');
  if (!missing.length) return found;
  const remedy = remedies[platformName().split('-')[0]] ?? '  see the documentation of your system';
  return {
    message:
      `stomp-serve: there is no ready-made engine for ${platformName()} in this package and it cannot be built,\n` +
      `because this machine lacks ${missing.join(', ')}.\n` +
      `Install what is missing, then run the same command again:\n${remedy}`,
  };
}
