/** Names that files of a log are given, and what stands in the way of it. */
import { basename, dirname } from 'node:path';
import { StompError } from '../errors.js';
import type { StompGuard } from '../guard/index.js';
import { numbersFrom, renameToFree, syncFolder } from '../storage/log-file.js';
import type { Project } from './types.js';

/**
 * Gives a file of a log another name, never that of another file.
 * @returns the new path
 * @throws StompError LEASE_LOST
 */
export async function rename(
  path: string,
  names: Iterable<string>,
  { guard, project }: { guard: StompGuard; project: Project },
): Promise<string> {
  if (!guard.held) throw lost(project);
  try {
    const renamed = renameToFree(path, names);
    await syncFolder(dirname(path));
    return renamed;
  } catch (error) {
    throw (error as NodeJS.ErrnoException).code === 'EEXIST' ? lost(project) : error;
  }
}

/** @returns what was done */
export async function setAside(
  project: Project,
  guard: StompGuard,
  path: string,
  nowMs: number,
): Promise<string> {
  const aside = await rename(path, asideNames(nowMs), { guard, project });
  return `Set ${basename(path)}, which somebody had changed, aside as ${basename(aside)}.`;
}

/** `set-aside-20260203T040506Z`, with a number when there are several. */
function* asideNames(nowMs: number): Generator<string, void> {
  const time = new Date(nowMs).toISOString().replace(/[-:]|\.\d+/g, '');
  yield `set-aside-${time}`;
  for (const number of numbersFrom(2)) yield `set-aside-${time}-${number}`;
}

export function lost(project: Project): StompError {
  return new StompError(
    'LEASE_LOST',
    `The lease on ${project.progress_log_path} has ended; whoever holds it now writes the entries.`,
    { fields: { file: project.progress_log_path } },
  );
}

/** What the system refused, in words that help; anything else as it is. */
export function unwritable(error: unknown, project: Project): unknown {
  const denied = error instanceof StompError && error.code === 'PATH_DENIED';
  const { code, message } = (denied ? (error.cause ?? error) : error) as NodeJS.ErrnoException;
  if (error instanceof StompError ? !denied : code === undefined) return error;
  const file = project.progress_log_path;
  return new StompError(
    'LOG_UNWRITABLE',
    `${file} cannot be written: ${message}. Its entries are safe in the database; make the file writable, and the next entry or \`stomp-serve context doctor\` brings it up to date.`,
    { fields: { file, system_error: code ?? null }, cause: error },
  );
}
