/** What git knows of commits: names, common ancestors, trees and contents. */
import { suggestion } from '../../config/nearest.js';
import { StompError } from '../../errors.js';
import type { Warning } from '../types.js';
import { BlobReader } from './blobs.js';
import { git, gitText } from './git.js';
import type { Repository } from './repository.js';

/** Modes as git writes them. */
export const modes = { file: '100644', executable: '100755', link: '120000', submodule: '160000' } as const;

export interface TreeEntry {
  readonly path: string;
  readonly mode: string;
  readonly id: string;
  /** 0 for a submodule. */
  readonly bytes: number;
}

export interface Tree {
  readonly entries: ReadonlyMap<string, TreeEntry>;
  /** Names that cannot be told apart as text. */
  readonly warnings: readonly Warning[];
}

export class Objects {
  readonly repository: Repository;
  readonly #blobs: BlobReader;
  readonly #at: { cwd: string; signal: AbortSignal | undefined };

  constructor(repository: Repository, signal?: AbortSignal) {
    this.repository = repository;
    this.#at = { cwd: repository.cwd, signal };
    this.#blobs = new BlobReader(repository.cwd);
  }

  /** @returns the id of the commit that `ref` names. @throws StompError UNKNOWN_REF, INVALID_REQUEST */
  async commit(ref: string): Promise<string> {
    checkRef(ref);
    const args = ['rev-parse', '--verify', '--quiet', '--end-of-options', `${ref}^{commit}`];
    // 128 is its answer to what is no ref by its form.
    const { stdout, exit } = await git(args, { ...this.#at, answers: [1, 128] });
    const id = stdout.toString('latin1').trim();
    if (exit === 0 && /^[0-9a-f]{40,64}$/.test(id)) return id;
    const hint = suggestion(
      ref,
      (await this.branches()).map(({ name }) => name),
    );
    throw new StompError('UNKNOWN_REF', `No commit is known as ${JSON.stringify(ref)}.${hint}`, {
      fields: { ref },
    });
  }

  /** Local branches, in order of their names, with the commits that they point at. */
  async branches(): Promise<{ name: string; id: string }[]> {
    const format = '--format=%(objectname) %(refname)';
    const out = await gitText(['for-each-ref', format, 'refs/heads/'], this.#at);
    const lines = out.split('\n').filter((line) => line !== '');
    return lines.map((line) => {
      const [id = '', name = ''] = line.split(/ (.*)/s);
      return { id, name: name.replace(/^refs\/heads\//, '') };
    });
  }

  /** The best common ancestors: none, one, or several after merges both ways. */
  async mergeBases(a: string, b: string): Promise<string[]> {
    const { stdout } = await git(['merge-base', '--all', a, b], { ...this.#at, answers: [1] });
    const ids = stdout.toString('latin1').split('\n');
    return ids.filter((id) => id !== '').sort();
  }

  /** Every file, link and submodule of a commit. */
  async tree(commit: string): Promise<Tree> {
    const args = ['ls-tree', '-r', '-z', '-l', '--full-tree', commit];
    const { stdout } = await git(args, this.#at);
    const entries = new Map<string, TreeEntry>();
    const warnings: Warning[] = [];
    for (const line of splitAtNul(stdout)) {
      const entry = readEntry(line);
      if (entry) entries.set(entry.path, entry);
      else
        warnings.push({ subject: line.toString('latin1'), reason: 'Its name is not UTF-8; it is left out.' });
    }
    return { entries, warnings };
  }

  /** Files that have another name in the later commit: from the old name to the new one. */
  async renames(before: string, after: string): Promise<Map<string, string>> {
    const args = ['diff-tree', '-r', '-z', '-M', '-l2000', '--no-ext-diff', '--diff-filter=R', before, after];
    const parts = splitAtNul((await git(args, this.#at)).stdout).map((part) => part.toString('utf8'));
    const renames = new Map<string, string>();
    for (let i = 0; i + 2 < parts.length; i += 3) renames.set(parts[i + 1] ?? '', parts[i + 2] ?? '');
    return renames;
  }

  /** @throws StompError GIT_FAILED, CANCELLED */
  read(id: string): Promise<Buffer> {
    if (this.#at.signal?.aborted) return Promise.reject(new StompError('CANCELLED', 'Cancelled.'));
    return this.#blobs.read(id);
  }

  close(): void {
    this.#blobs.close();
  }
}

/** Texts that git would take for something else than the name of a commit. */
function checkRef(ref: string): void {
  const isName = typeof ref === 'string' && ref !== '' && ref.length <= 1024;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is refused.
  if (isName && !ref.startsWith('-') && !/[\u0000-\u001f\u007f]/.test(ref)) return;
  const shown = JSON.stringify(String(ref).slice(0, 80));
  throw new StompError(
    'INVALID_REQUEST',
    `${shown} cannot name a commit; give a branch, a tag or a commit id.`,
    {
      fields: { field: 'ref', value: String(ref).slice(0, 80) },
    },
  );
}

function splitAtNul(bytes: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  for (let start = 0; start < bytes.length; ) {
    const end = bytes.indexOf(0, start);
    const stop = end < 0 ? bytes.length : end;
    parts.push(bytes.subarray(start, stop));
    start = stop + 1;
  }
  return parts;
}

/** `<mode> <type> <id> <size>\t<path>` */
function readEntry(line: Buffer): TreeEntry | undefined {
  const tab = line.indexOf(9);
  const name = line.subarray(tab + 1);
  const path = name.toString('utf8');
  if (!Buffer.from(path, 'utf8').equals(name)) return undefined;
  const [mode = '', , id = '', size = ''] = line.toString('latin1', 0, tab).split(/ +/);
  return { path, mode, id, bytes: Number(size) || 0 };
}
