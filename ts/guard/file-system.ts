/** The file system as the file guard uses it, with errors that help. */
import { constants, type Stats } from 'node:fs';
import { lstat, open } from 'node:fs/promises';
import { StompError } from '../errors.js';
import { deniedPath } from '../paths.js';

/** Of the file or link itself; undefined when there is none. */
export async function statIfAny(file: string): Promise<Stats | undefined> {
  return lstat(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw fileError(error, file);
  });
}

/** @throws StompError NOT_FOUND */
export async function existing(file: string): Promise<Stats> {
  const stats = await statIfAny(file);
  if (stats) return stats;
  throw new StompError('NOT_FOUND', `There is no ${file}.`, { fields: { file } });
}

export function taken(file: string): StompError {
  return new StompError('INVALID_REQUEST', `${file} is there already.`, { fields: { field: 'to', file } });
}

export function notEmpty(file: string): StompError {
  const message = `${file} is not empty; say "recursive" to remove all of it.`;
  return new StompError('INVALID_REQUEST', message, { fields: { field: 'recursive', file } });
}

/** A new file that is on disk when this returns. */
export async function writeDurably(file: string, bytes: Buffer, mode: number | undefined): Promise<void> {
  const handle = await open(file, 'wx', mode === undefined ? 0o666 : mode & 0o7777);
  try {
    await handle.writeFile(bytes);
    // The mode that `open` is given passes through the umask.
    if (mode !== undefined) await handle.chmod(mode & 0o7777);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** So that a rename in it outlives a power cut. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** What the system refused, in words that help. */
export function fileError(error: unknown, file: string): unknown {
  if (error instanceof StompError) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  const fields = { file, system_error: code };
  const options = { fields, cause: error };
  switch (code) {
    case 'ENOENT':
      return new StompError(
        'NOT_FOUND',
        `There is no ${file}, or no folder to put it in; make the folder first.`,
        options,
      );
    case 'EACCES':
    case 'EPERM':
    case 'ELOOP':
      return deniedPath(file, `the system says ${code}`, error);
    case 'EXDEV':
      return new StompError(
        'INVALID_REQUEST',
        `${file} is on another file system; write it there and delete it here.`,
        options,
      );
    case 'ENOSPC':
    case 'EDQUOT':
      return new StompError('INTERNAL_ERROR', `The disk is full: ${file} is as it was.`, options);
    default:
      return code
        ? new StompError('INTERNAL_ERROR', `${file} cannot be changed: ${message}.`, options)
        : error;
  }
}
