/** clang-format, clang-tidy and lizard, pinned, from their Python wheels; kept with the other dependencies. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { cached, depsCache, pins } from '../../cpp/deps/fetch.mjs';
import { platformName } from './platform.mjs';

const requirements = Object.entries(pins.pythonTools).map(([name, version]) => `${name}==${version}`);

function pipInstall(folder) {
  const python = process.env.PYTHON || 'python3';
  const args = [
    '-m',
    'pip',
    'install',
    '--quiet',
    '--disable-pip-version-check',
    '--no-warn-script-location',
  ];
  const { status } = spawnSync(python, [...args, '--target', folder, ...requirements], {
    stdio: 'inherit',
    env: { ...process.env, PIP_ROOT_USER_ACTION: 'ignore' },
  });
  if (status !== 0) throw new Error('the C++ linters could not be installed; they need python3 with pip');
}

const entry = `${requirements.join('-').replaceAll('==', '-')}-${platformName()}`;

/** @typedef {{ clangFormat: string, clangTidy: string, folder: string }} CppTools programs, and lizard's folder */

/** @returns {CppTools} */
function toolsIn(folder) {
  const program = (name) => join(folder, name.replace('-', '_'), 'data', 'bin', name);
  return { clangFormat: program('clang-format'), clangTidy: program('clang-tidy'), folder };
}

/** The tools, fetched on first use. */
export function cppTools() {
  return toolsIn(
    cached(entry, (staging) => {
      console.error('stomp-serve: fetching the C++ linters');
      pipInstall(staging);
    }),
  );
}

/** The tools if an earlier cppTools() fetched them. */
export function cppToolsIfFetched() {
  const folder = join(depsCache(), entry);
  return existsSync(folder) ? toolsIn(folder) : undefined;
}

/** Folders whose C++ is ours, and Metal's dialect of it. */
const ours = ['cpp/core', 'cpp/binding', 'metal', 'cuda', 'tests/cpp', 'bench/native'];

/** Our C++ and Metal files below `root`, relative to it. */
export function cppFiles(root) {
  return ours
    .flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true }).map((name) => join(folder, String(name))),
    )
    .filter((name) => /\.(cc|h|metal|cuh)$/.test(name))
    .sort();
}
