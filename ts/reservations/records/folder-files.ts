/**
 * Files of a folder inside of a repository, which whoever wrote the repository may have filled with links and worse:
 * nothing is read or written through a link.
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { link, lstat, mkdir, open, readdir, rm, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { StompError } from '../../errors.js';
import { fileError, syncFolder, writeDurably } from '../../guard/file-system.js';
import { deniedPath } from '../../paths.js';

const staging = /^\.[0-9a-f]{16}\.tmp$/;

/**
 * Makes the folders that are missing.
 * @returns whether the last one was
 * @throws StompError PATH_DENIED where one of them is a link or no folder
 */
export async function makeFolders(root: string, parts: readonly string[]): Promise<boolean> {
  let folder = root;
  let made = false;
  for (const part of parts) {
    folder = join(folder, part);
    made = await makeFolder(folder);
  }
  return made;
}

async function makeFolder(folder: string): Promise<boolean> {
  const made = await mkdir(folder).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'EEXIST') return false;
      throw fileError(error, folder);
    },
  );
  if ((await kindOfFolder(folder)) !== 'folder') throw deniedPath(folder, 'it is a link or no folder');
  return made;
}

/** What stands where a folder should. */
export async function kindOfFolder(folder: string): Promise<'folder' | 'other' | 'none'> {
  try {
    return (await lstat(folder)).isDirectory() ? 'folder' : 'other';
  } catch (error) {
    if (isMissing(error)) return 'none';
    throw fileError(error, folder);
  }
}

/**
 * A new file that is whole, and on disk, from the moment that it can be seen; none that is there is touched.
 * @throws StompError INTERNAL_ERROR, PATH_DENIED
 */
export async function writeNew(folder: string, name: string, text: string): Promise<void> {
  const staged = join(folder, `.${randomBytes(8).toString('hex')}.tmp`);
  const file = join(folder, name);
  try {
    await writeDurably(staged, Buffer.from(text), undefined);
    await link(staged, file);
    await syncFolder(folder);
  } catch (error) {
    throw isThere(error) ? existsAlready(file) : fileError(error, file);
  } finally {
    await rm(staged, { force: true });
  }
}

/** @returns names of files and whatever else is there; none where there is no folder */
export async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    if (isMissing(error)) return [];
    throw fileError(error, folder);
  }
}

/** @returns the text, or why it cannot be had; undefined when the file has gone */
export async function readText(
  file: string,
  maxBytes: number,
): Promise<{ text: string } | { reason: string } | undefined> {
  try {
    const bytes = await readWhole(file, maxBytes);
    return { text: new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes) };
  } catch (error) {
    if (error instanceof Unfit) return { reason: error.message };
    if (isMissing(error)) return undefined;
    return { reason: reasonOf(error) };
  }
}

class Unfit extends Error {}

async function readWhole(file: string, maxBytes: number): Promise<Buffer> {
  // A pipe would wait for its writer.
  const handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const stats = await handle.stat();
    if (!stats.isFile()) throw new Unfit('is no file');
    if (stats.size > maxBytes) throw new Unfit(`has ${stats.size} bytes; at most ${maxBytes} are read`);
    return await handle.readFile();
  } finally {
    await handle.close();
  }
}

function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ELOOP') return 'is a link, which is not followed';
  return code === 'ERR_ENCODING_INVALID_ENCODED_DATA' ? 'is not UTF-8' : `cannot be read: ${code ?? message}`;
}

/** Also when it was cut off between its two steps and is done again. */
export async function moveFile(from: string, to: string): Promise<void> {
  try {
    await link(from, to).catch((error: unknown) => {
      if (!isThere(error)) throw error;
    });
    await unlink(from);
  } catch (error) {
    throw fileError(error, from);
  }
}

/** Removes what writers that were killed have left behind. */
export async function removeStaged(folder: string, before: Date): Promise<void> {
  for (const name of (await namesIn(folder)).filter((it) => staging.test(it))) {
    const file = join(folder, name);
    const stats = await lstat(file).catch(() => undefined);
    if (stats?.isFile() && stats.mtime < before) await rm(file, { force: true });
  }
}

function existsAlready(file: string): StompError {
  return new StompError('INTERNAL_ERROR', `${file} is there already, and records are never changed.`, {
    fields: { file },
  });
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT';
}

function isThere(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'EEXIST';
}
