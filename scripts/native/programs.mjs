/** Programs that tests of installs run: several Nodes and package managers, from npm, kept with the other dependencies. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { cached } from '../../cpp/deps/fetch.mjs';

/** npm's command-line script, as this machine has it. */
export function npmProgram() {
  const candidates = [
    process.env.npm_execpath ?? '',
    join(dirname(process.execPath), '..', 'lib', 'node_modules', 'npm', 'bin', 'npm-cli.js'),
    ...(process.env.PATH ?? '').split(':').map((folder) => join(folder, 'npm')),
  ];
  const found = candidates.find((path) => /npm(-cli\.js)?$/.test(path) && existsSync(path));
  if (!found) throw new Error('stomp-serve: there is no npm');
  return realpathSync(found);
}

/** The folder of a package in the cache, with what it needs beside it. */
function fromNpm(name, range) {
  const key = `npm-${name.replace(/[@/]/g, '_')}-${range}-${process.platform}-${process.arch}`;
  const folder = cached(key, (staging) => {
    console.error(`stomp-serve: fetching ${name}@${range}`);
    const args = [
      'install',
      '--prefix',
      staging,
      '--no-package-lock',
      '--ignore-scripts',
      '--loglevel=error',
    ];
    const { status } = spawnSync(process.execPath, [npmProgram(), ...args, `${name}@${range}`], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    if (status !== 0) throw new Error(`stomp-serve: ${name}@${range} cannot be had from npm`);
  });
  return join(folder, 'node_modules', name);
}

function describe(program) {
  const script = 'console.log(process.version, process.versions.modules)';
  const { status, stdout } = spawnSync(program, ['-e', script], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`stomp-serve: ${program} does not run`);
  const [version = '', abi = ''] = stdout.trim().split(' ');
  return { program, version, abi };
}

/**
 * The newest Node of a major version, from the package of its binary.
 * @returns {{ program: string, version: string, abi: string }}
 */
export function nodeOf(major) {
  return describe(join(fromNpm(`node-${process.platform}-${process.arch}`, major), 'bin', 'node'));
}

/** The Node that runs this. */
export function thisNode() {
  return describe(process.execPath);
}

/** @returns the script that a package names as its command */
function script(name, range, command) {
  const folder = fromNpm(name, range);
  const { bin } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  return join(folder, typeof bin === 'string' ? bin : bin[command]);
}

/** Command-line scripts of package managers, at the major version that is tested. */
export const managers = {
  npm: npmProgram,
  pnpm: () => script('pnpm', '10', 'pnpm'),
  yarn: () => script('yarn', '1', 'yarn'),
  berry: () => script('@yarnpkg/cli-dist', '4', 'yarn'),
  attw: () => script('@arethetypeswrong/cli', '0.18', 'attw'),
};
