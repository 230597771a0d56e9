// What the machine can do at most: builds native/ceilings.cc, which needs nothing of ours, and runs it.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { results } from './child.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const program = join(here, 'build', process.platform === 'win32' ? 'ceilings.exe' : 'ceilings');
const sources = ['ceilings.cc', 'peaks.cc'].map((name) => join(here, 'native', name));

const changed = (path) => statSync(path).mtimeMs;

/** @returns {boolean} false when no compiler builds it, which has said why on standard error */
export function buildCeilings() {
  const inputs = [...sources, join(here, 'native', 'peaks.h')];
  if (existsSync(program) && inputs.every((path) => changed(path) <= changed(program))) return true;
  mkdirSync(join(here, 'build'), { recursive: true });
  const compilers = [process.env.CXX, 'c++', 'g++', 'clang++'].filter(Boolean);
  const flags = [
    '-O3',
    '-std=c++20',
    '-pthread',
    ...(process.arch === 'arm64' ? ['-march=armv8.2-a+dotprod'] : []),
  ];
  for (const compiler of compilers) {
    const { status, error } = spawnSync(compiler, [...flags, '-o', program, ...sources], {
      stdio: ['ignore', 2, 2],
    });
    if (!error) return status === 0;
  }
  return false;
}

/** @returns {Promise<{ name: string, value: number, unit: string }[]>} in GB/s and GOP/s */
export function measureCeilings(threads, modelBytes) {
  return results(program, [String(threads), String(modelBytes)], { cwd: here });
}
