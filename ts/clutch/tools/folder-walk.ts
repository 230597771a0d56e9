/** What is in a folder and below it, as runs may see it: no links, nothing that is kept from runs. */
import { opendir } from 'node:fs/promises';
import { join } from 'node:path';
import { StompError } from '../../errors.js';
import { isDeniedName } from '../paths.js';

/** Large, and nobody's own text. */
const skippedFolders: ReadonlySet<string> = new Set(['.git', 'node_modules']);

export interface FoundEntry {
  /** Below the folder of the walk, with `/` between its parts; a folder's ends in one. */
  readonly path: string;
  readonly isFolder: boolean;
}

/**
 * Folder by folder, names in order. What disappears meanwhile is left out.
 * @param folder canonical
 * @throws StompError NOT_FOUND, INVALID_REQUEST when the folder itself is none; CANCELLED
 */
export async function* walk(folder: string, signal: AbortSignal): AsyncGenerator<FoundEntry, void> {
  yield* below(folder, '', await namesIn(folder), signal);
}

/** As `walk`, of the folder alone. */
export async function listFolder(folder: string): Promise<FoundEntry[]> {
  return entriesOf('', await namesIn(folder));
}

async function* below(
  folder: string,
  prefix: string,
  names: readonly NamedEntry[],
  signal: AbortSignal,
): AsyncGenerator<FoundEntry, void> {
  for (const entry of entriesOf(prefix, names)) {
    if (signal.aborted) throw new StompError('CANCELLED', 'The search was aborted.');
    yield entry;
    if (!entry.isFolder || skippedFolders.has(lastPart(entry.path))) continue;
    const inside = await namesIn(join(folder, entry.path)).catch(ignoreGone);
    yield* below(folder, entry.path, inside, signal);
  }
}

interface NamedEntry {
  readonly name: string;
  readonly isFolder: boolean;
}

async function namesIn(folder: string): Promise<NamedEntry[]> {
  const found: NamedEntry[] = [];
  try {
    for await (const entry of await opendir(folder)) {
      if (entry.isFile() || entry.isDirectory()) {
        found.push({ name: entry.name, isFolder: entry.isDirectory() });
      }
    }
  } catch (error) {
    throw folderError(folder, error);
  }
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}

function entriesOf(prefix: string, names: readonly NamedEntry[]): FoundEntry[] {
  const seen = names.filter(({ name }) => !isDeniedName(name));
  return seen.map(({ name, isFolder }) => ({ path: `${prefix}${name}${isFolder ? '/' : ''}`, isFolder }));
}

function lastPart(path: string): string {
  return path.slice(0, -1).split('/').at(-1) ?? path;
}

function folderError(folder: string, error: unknown): unknown {
  const { code } = error as NodeJS.ErrnoException;
  const fields = { file: folder };
  if (code === 'ENOENT')
    return new StompError('NOT_FOUND', `There is no folder ${folder}.`, { fields, cause: error });
  if (code === 'ENOTDIR')
    return new StompError('INVALID_REQUEST', `${folder} is no folder.`, { fields, cause: error });
  if (code === 'EACCES' || code === 'EPERM') {
    return new StompError('PATH_DENIED', `${folder} may not be read by this user.`, { fields, cause: error });
  }
  return error;
}

/** Another may have removed a folder since its name was read; one that may not be read has nothing to show. */
function ignoreGone(error: unknown): [] {
  if (error instanceof StompError) return [];
  throw error;
}
