/**
 * A file on its way: what has arrived lies beside the target until all of it is there and proved right. Safe
 * between processes: whoever works on a part has renamed it to a name of its own, and renaming is atomic. A
 * part whose owner has died is taken over, so that a download goes on where it ended.
 */
import { createHash, type Hash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { isAlive } from '../../process-alive.js';

/** What the whole file must hash to. */
export interface Digest {
  algorithm: 'sha256' | 'sha1';
  hex: string;
  /** Hashed before the file's own bytes. */
  prefix?: string;
}

const host = hostname().replace(/[^A-Za-z0-9-]/g, '-') || 'host';

export class PartFile {
  readonly target: string;
  readonly #path: string;
  readonly #handle: FileHandle;
  #size: number;

  private constructor(target: string, path: string, handle: FileHandle, size: number) {
    this.target = target;
    this.#path = path;
    this.#handle = handle;
    this.#size = size;
  }

  /** Takes over what an earlier attempt left, or begins anew. */
  static async claim(target: string): Promise<PartFile> {
    await mkdir(dirname(target), { recursive: true });
    const own = `${target}.part.${host}.${process.pid}.${randomBytes(4).toString('hex')}`;
    for (const left of [`${target}.part`, ...(await orphans(target))]) {
      if (await renamed(left, own)) break;
    }
    const handle = await open(own, 'a+');
    return new PartFile(target, own, handle, (await handle.stat()).size);
  }

  /** Bytes that have arrived. */
  get size(): number {
    return this.#size;
  }

  async append(bytes: Uint8Array): Promise<void> {
    await this.#handle.appendFile(bytes);
    this.#size += bytes.length;
  }

  /** Forgets all that has arrived. */
  async restart(): Promise<void> {
    await this.#handle.truncate(0);
    this.#size = 0;
  }

  /** Whether what has arrived hashes to this. */
  async matches(digest: Digest): Promise<boolean> {
    const hash = createHash(digest.algorithm).update(digest.prefix ?? '');
    return (await hashFile(this.#path, hash)) === digest.hex;
  }

  /** Makes it the target, at once and durably. */
  async commit(): Promise<void> {
    await this.#handle.sync();
    await this.#handle.close();
    await rename(this.#path, this.target);
  }

  /** Leaves it for a later attempt. */
  async release(): Promise<void> {
    await this.#handle.close();
    if (this.#size === 0) await rm(this.#path, { force: true });
    else await rename(this.#path, `${this.target}.part`);
  }

  async discard(): Promise<void> {
    await this.#handle.close();
    await rm(this.#path, { force: true });
  }
}

/** Hex of the hash over a file. */
export async function hashFile(path: string, hash: Hash): Promise<string> {
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

/** Size of a file, or undefined when there is none. */
export async function fileSize(path: string): Promise<number | undefined> {
  try {
    const found = await stat(path);
    return found.isFile() ? found.size : undefined;
  } catch (error) {
    if (isMissing(error) || (error as NodeJS.ErrnoException).code === 'ENOTDIR') return undefined;
    throw error;
  }
}

/** Parts of this target whose owners ran here and are gone. */
async function orphans(target: string): Promise<string[]> {
  const prefix = `${basename(target)}.part.${host}.`;
  const names = await readdir(dirname(target));
  return names
    .filter((name) => name.startsWith(prefix) && !isAlive(Number(name.slice(prefix.length).split('.')[0])))
    .map((name) => join(dirname(target), name));
}

async function renamed(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT';
}
