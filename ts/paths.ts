/** Paths as they are compared: one name for each file, whatever links lead to it. */
import { lstat, realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { refuse } from './arguments.js';
import { StompError } from './errors.js';

// Longer ones no system takes; each folder of a path is looked up.
const maxPathLength = 4096;

/**
 * The absolute path without links, also of what does not exist yet.
 * @throws StompError PATH_DENIED for a link that leads nowhere, INVALID_REQUEST
 */
export async function canonicalPath(path: string): Promise<string> {
  if (typeof path !== 'string' || path === '' || path.includes('\0') || path.length > maxPathLength)
    refuse('path', path, `the path of a file, up to ${maxPathLength} characters`);
  const absolute = resolve(path);
  try {
    return await realpath(absolute);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT') throw deniedPath(path, `it cannot be resolved (${code})`, error);
  }
  const there = await lstat(absolute).catch(() => undefined);
  if (there?.isSymbolicLink()) throw deniedPath(path, 'it is a link that leads nowhere');
  // Somebody has made it since.
  if (there) return canonicalPath(absolute);
  const parent = dirname(absolute);
  return parent === absolute ? absolute : join(await canonicalPath(parent), basename(absolute));
}

/** Whether `path` is `folder` or below it; both canonical. */
export function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith(sep) ? folder : folder + sep);
}

export function deniedPath(path: string, why: string, cause?: unknown): StompError {
  return new StompError('PATH_DENIED', `${path} is not allowed: ${why}.`, { fields: { file: path }, cause });
}
