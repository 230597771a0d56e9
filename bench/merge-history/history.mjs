// What git says of the merges of a repository. Works on a clone of its own that borrows the objects: nothing is written
// to the repository.
import { execFile, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gitEnvironment } from '../../dist/reservations/git/git.js';

const run = promisify(execFile);
// Nobody's own settings: git's defaults are what the plan is held against.
const env = { ...gitEnvironment(), GIT_CONFIG_NOSYSTEM: '1', GIT_CONFIG_GLOBAL: '/dev/null' };
const maxBuffer = 512 * 1024 * 1024;

export const gitVersion = execFileSync('git', ['--version'], { encoding: 'utf8' }).trim();

export class History {
  #folder = mkdtempSync(join(tmpdir(), 'merge-history-'));

  constructor(source) {
    // A path may share its objects; an address cannot.
    const isAddress = /^[a-z+]+:\/\/|^[^/]+@[^/]+:/.test(source);
    const how = isAddress ? [] : ['--shared'];
    execFileSync('git', ['clone', '--quiet', '--bare', ...how, source, this.folder], {
      env,
      stdio: 'inherit',
    });
  }

  get folder() {
    return join(this.#folder, 'repository');
  }

  close() {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #git(args, encoding = 'utf8') {
    return (await run('git', args, { cwd: this.folder, env, encoding, maxBuffer })).stdout;
  }

  /** Merges of two commits, the newest first: `{ id, ours, theirs }`. */
  async merges(tip) {
    const args = ['rev-list', '--min-parents=2', '--max-parents=2', '--parents', tip];
    const lines = (await this.#git(args)).split('\n').filter((line) => line !== '');
    return lines.map((line) => {
      const [id, ours, theirs] = line.split(' ');
      return { id, ours, theirs };
    });
  }

  async bases({ ours, theirs }) {
    const out = await this.#git(['merge-base', '--all', ours, theirs]).catch(ifExit(1));
    return out.split('\n').filter((line) => line !== '');
  }

  /** `{ tree, paths }`: what git makes of the merge, and the files that it leaves in conflict. */
  async merge({ ours, theirs }) {
    const args = ['merge-tree', '--write-tree', '--name-only', '--no-messages', '-z', ours, theirs];
    const [tree, ...paths] = (await this.#git(args).catch(ifExit(1))).split('\0');
    return { tree, paths: new Set(paths.filter((path) => path !== '')) };
  }

  /** From paths to `{ mode, id }`. */
  async files(tree) {
    const lines = (await this.#git(['ls-tree', '-r', '-z', '--full-tree', tree])).split('\0');
    const entries = lines
      .filter((line) => line !== '')
      .map((line) => {
        const [facts, path] = line.split('\t');
        const [mode, , id] = facts.split(' ');
        return [path, { mode, id }];
      });
    return new Map(entries);
  }

  async text(id) {
    return this.#git(['cat-file', 'blob', id]);
  }
}

/** Git's answer "no" comes as an exit code. */
function ifExit(code) {
  return (error) => {
    if (error.code === code) return error.stdout;
    throw error;
  };
}

export function blobId(content) {
  const bytes = Buffer.from(content.text, content.encoding);
  return createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');
}
