/** clang-format, clang-tidy and lizard, pinned, from their Python wheels; kept with the other dependencies. */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { cached, pins } from '../../cpp/deps/fetch.mjs';
import { platformName } from './platform.mjs';

function pipInstall(folder, requirements) {
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

/**
 * @returns {{ clangFormat: string, clangTidy: string, folder: string }} paths of programs, and the folder
 * that holds lizard's module
 */
export function cppTools() {
  const requirements = Object.entries(pins.pythonTools).map(([name, version]) => `${name}==${version}`);
  const folder = cached(`${requirements.join('-').replaceAll('==', '-')}-${platformName()}`, (staging) => {
    console.error('stomp-serve: fetching the C++ linters');
    pipInstall(staging, requirements);
  });
  const program = (name) => join(folder, name.replace('-', '_'), 'data', 'bin', name);
  return { clangFormat: program('clang-format'), clangTidy: program('clang-tidy'), folder };
}

/** Folders whose C++ is ours. */
const ours = ['cpp/core', 'cpp/binding', 'tests/cpp'];

/** Our C++ files below `root`, relative to it. */
export function cppFiles(root) {
  return ours
    .flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true }).map((name) => join(folder, String(name))),
    )
    .filter((name) => /\.(cc|h)$/.test(name))
    .sort();
}
