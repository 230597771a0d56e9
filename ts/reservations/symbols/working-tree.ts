/** The files of a working tree as they lie there, saved but perhaps not committed. */
import { createHash, type Hash } from 'node:crypto';
import { type BigIntStats, createReadStream } from 'node:fs';
import { lstat, readFile, realpath } from 'node:fs/promises';
import path from 'node:path';
import { isWithin } from '../../paths.js';
import { cancelled, git } from '../git/git.js';
import type { Warning } from '../types.js';
import type { KnownFile, SymbolCache } from './cache.js';
import type { SourceFile, SourceTree } from './source.js';

// Many at once, so that a disk has something to do; not so many that there are no handles left.
const atOnce = 64;
const mostNamed = 100;
// A file that changed this shortly before it was looked at may change again under the same time stamp.
const clockStepNs = 50_000_000n;
const coarseClockStepNs = 2_000_000_000n;
const secondNs = 1_000_000_000n;

const goneCodes = new Set(['ENOENT', 'ENOTDIR', 'EISDIR']);

export class WorkingTree implements SourceTree {
  readonly #root: string;
  readonly #cache: SymbolCache | undefined;
  readonly #only: ReadonlySet<string> | undefined;
  warnings: readonly Warning[] = [];

  /**
   * @param root top of the working tree.
   * @param cache remembers what is in files that have not changed.
   * @param only paths of the files that are asked for. Default: all
   */
  constructor(root: string, cache?: SymbolCache, only?: ReadonlySet<string>) {
    this.#root = root;
    this.#cache = cache;
    this.#only = only;
  }

  /** @throws StompError GIT_FAILED, CANCELLED */
  async files(signal?: AbortSignal): Promise<readonly SourceFile[]> {
    const { paths, warnings } = await this.#paths(signal);
    const root = await realpath(this.#root);
    const folders = new Map<string, Promise<boolean>>();
    const known = this.#cache?.files(this.#root) ?? new Map<string, KnownFile>();
    const found: SourceFile[] = [];
    const fresh: KnownFile[] = [];
    const problems: Warning[] = [...warnings];
    const look = async (name: string) => {
      // Git lists what it tracks in a folder also where a link has taken the folder's place.
      const folder = path.dirname(name);
      const isHere = folders.get(folder) ?? isOwnFolder(root, folder);
      folders.set(folder, isHere);
      if (!(await isHere)) return;
      const file = await this.#look(name, known, fresh).catch((error: unknown) => problem(name, error));
      if (file && 'reason' in file) problems.push(file);
      else if (file) found.push(file);
    };
    await inTurns(paths, look, signal);
    const present = new Set(found.map((file) => file.path));
    const gone = [...(this.#only ?? known.keys())].filter((name) => !present.has(name));
    this.#cache?.keepFiles(this.#root, fresh, gone);
    this.warnings = problems;
    return found.sort((a, b) => (a.path < b.path ? -1 : 1));
  }

  async read(file: SourceFile): Promise<Uint8Array | undefined> {
    try {
      const bytes = await readFile(path.join(this.#root, file.path));
      const id = startBlob(bytes.length).update(bytes).digest('hex');
      return id === file.contentId ? bytes : undefined;
    } catch (error) {
      if (isGone(error)) return undefined;
      throw error;
    }
  }

  async #paths(signal: AbortSignal | undefined): Promise<{ paths: string[]; warnings: Warning[] }> {
    const only = this.#only ?? new Set<string>();
    // Of many all are listed: a command line has its limits.
    const asked = only.size > mostNamed ? [] : [...only].map((name) => `:(literal)${name}`);
    const args = ['ls-files', '-c', '-o', '--exclude-standard', '-z', '--full-name', '--', ...asked];
    const { stdout } = await git(args, { cwd: this.#root, signal });
    const text = stdout.toString('utf8');
    // Unmerged files are listed once for each side; folders are repositories of their own.
    const names = [...new Set(text.split('\0'))].filter((name) => name !== '' && !name.endsWith('/'));
    const isText = (name: string) => !name.includes('\uFFFD');
    const warnings = names
      .filter((name) => !isText(name))
      .map((subject) => ({ subject, reason: 'Its name is not UTF-8; it is left out.' }));
    const isAsked = (name: string) => this.#only?.has(name) ?? true;
    return { paths: names.filter((name) => isText(name) && isAsked(name)), warnings };
  }

  /** @returns undefined for what is no file, or gone. */
  async #look(
    name: string,
    known: ReadonlyMap<string, KnownFile>,
    fresh: KnownFile[],
  ): Promise<SourceFile | undefined> {
    const full = path.join(this.#root, name);
    const now = BigInt(Date.now()) * 1_000_000n;
    const stats = await lstat(full, { bigint: true });
    if (!stats.isFile()) return undefined;
    const bytes = Number(stats.size);
    const stamp = `${stats.mtimeNs}:${stats.ctimeNs}:${stats.ino}`;
    const before = known.get(name);
    if (before?.stamp === stamp && before.bytes === bytes)
      return { path: name, contentId: before.contentId, bytes };
    const contentId = await blobId(full, bytes);
    if (isSettled(stats, now)) fresh.push({ path: name, bytes, stamp, contentId });
    return { path: name, contentId, bytes };
  }
}

/** Whether no link leads out of the tree. Not whether the names are equal: file systems have their own ideas of those. */
async function isOwnFolder(root: string, folder: string): Promise<boolean> {
  const real = await realpath(path.join(root, folder)).catch((error: unknown) => {
    // The look at each of its files tells what is wrong.
    if (!isGone(error)) return root;
    return undefined;
  });
  return real !== undefined && isWithin(real, root);
}

/** The id that git gives to the content as it lies here, before any conversion of line ends. */
async function blobId(file: string, bytes: number): Promise<string> {
  const hash = startBlob(bytes);
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

function startBlob(bytes: number): Hash {
  return createHash('sha1').update(`blob ${bytes}\0`);
}

function isSettled({ mtimeNs, ctimeNs }: BigIntStats, now: bigint): boolean {
  const latest = mtimeNs > ctimeNs ? mtimeNs : ctimeNs;
  const isCoarse = mtimeNs % secondNs === 0n && ctimeNs % secondNs === 0n;
  return now - latest > (isCoarse ? coarseClockStepNs : clockStepNs);
}

function isGone(error: unknown): boolean {
  return error instanceof Error && goneCodes.has((error as NodeJS.ErrnoException).code ?? '');
}

function problem(subject: string, error: unknown): Warning | undefined {
  if (isGone(error)) return undefined;
  const why = error instanceof Error ? error.message : String(error);
  return { subject, reason: `It cannot be read: ${why}` };
}

/** Works on several of `items` at once. */
export async function inTurns<T>(
  items: readonly T[],
  work: (item: T) => Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  let next = 0;
  const worker = async () => {
    for (let item = items[next]; item !== undefined; item = items[next]) {
      if (signal?.aborted) throw cancelled(signal);
      next += 1;
      await work(item);
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, worker));
}
