/**
 * better-sqlite3 downloads its binary from its releases when it is installed, or compiles. For tests of installs
 * where those releases cannot be reached there is a stand-in: the same binary, compiled here, in the form that its
 * installer takes from a folder.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { cached } from '../../cpp/deps/fetch.mjs';
import { npmProgram } from './programs.mjs';

const module = dirname(createRequire(import.meta.url).resolve('better-sqlite3/package.json'));
const { version } = JSON.parse(readFileSync(join(module, 'package.json'), 'utf8'));
const binary = join('build', 'Release', 'better_sqlite3.node');

/** @param {{ program: string, abi: string }} node */
function archiveName({ abi }) {
  return `better-sqlite3-v${version}-node-v${abi}-${process.platform}-${process.arch}.tar.gz`;
}

/** Whether the release for this Node can be downloaded from here. */
export async function releaseIsReachable(node) {
  const base = 'https://github.com/WiseLibs/better-sqlite3/releases/download';
  try {
    const signal = AbortSignal.timeout(15_000);
    const url = `${base}/v${version}/${archiveName(node)}`;
    return (await fetch(url, { method: 'HEAD', signal })).ok;
  } catch {
    // Offline, or a network of registries only: that is the answer.
    return false;
  }
}

function run(command, args, cwd) {
  const { status, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8', maxBuffer: 1 << 28 });
  if (status !== 0) throw new Error(`stomp-serve: ${command} ${args[0]} failed: ${stderr.slice(-2000)}`);
}

function compile(node, folder) {
  for (const part of ['package.json', 'binding.gyp', 'src', 'lib', 'deps']) {
    cpSync(join(module, part), join(folder, part), { recursive: true });
  }
  console.error(`stomp-serve: compiling better-sqlite3 for Node's ABI ${node.abi}, once (about a minute)`);
  const gyp = join(dirname(npmProgram()), '..', 'node_modules', 'node-gyp', 'bin', 'node-gyp.js');
  run(node.program, [gyp, 'rebuild', '--release', '--nodedir', join(dirname(node.program), '..')], folder);
}

/**
 * @param {{ program: string, abi: string }} node a Node of a package with its headers
 * @returns {string} the folder for `npm_config_better_sqlite3_local_prebuilds`
 */
export function standIn(node) {
  return cached(`better-sqlite3-${version}-node-v${node.abi}`, (staging) => {
    const built = join(module, binary);
    const from =
      node.abi === process.versions.modules && existsSync(built) ? module : join(staging, 'source');
    if (from !== module) {
      mkdirSync(from);
      compile(node, from);
    }
    run('tar', ['-czf', join(staging, archiveName(node)), '-C', from, binary]);
  });
}
