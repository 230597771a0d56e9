/** Files of a log that are full and closed, made anew from the rows. */
import { createHash } from 'node:crypto';
import { lstatSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { StompGuard } from '../guard/index.js';
import { createLog, makeFolders, syncFolder } from '../storage/log-file.js';
import type { Storage } from '../storage/storage.js';
import { formatLine } from './line.js';
import { setAside, unwritable } from './log-aside.js';
import { type Archive, archivesOf, entriesFrom, headerText, mostAtOnce } from './log-rows.js';
import type { Repairs } from './log-writer.js';
import type { Project } from './types.js';

/**
 * What is there in its place is set aside, if the rows give what the closed file was.
 * REQUIRES: the guard holds the lease on the file.
 * @throws StompError LOG_UNWRITABLE, LEASE_LOST, DB_BUSY
 */
export async function remakeClosed(
  { storage, now }: { storage: Storage; now: () => number },
  project: Project,
  guard: StompGuard,
  archive: Archive,
): Promise<Repairs> {
  const { path } = archive;
  const repairs: Repairs = [];
  try {
    const there = lstatSync(path, { throwIfNoEntry: false }) !== undefined;
    if (there && (await hashOfRows(storage, project, archive)) !== archive.sha256) return repairs;
    if (there) repairs.push(await setAside(project, guard, path, now()));
    await makeFolders(path, project.root);
    const handle = await createLog(path);
    try {
      for await (const text of textOf(storage, project, archive)) await handle.appendFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await syncFolder(dirname(path));
    return [...repairs, `Made ${basename(path)} anew from its rows.`];
  } catch (error) {
    throw unwritable(error, project);
  }
}

async function hashOfRows(storage: Storage, project: Project, archive: Archive): Promise<string> {
  const hash = createHash('sha256');
  for await (const text of textOf(storage, project, archive)) hash.update(text);
  return hash.digest('hex');
}

/** What it had in it, the texts of others left out. */
async function* textOf(storage: Storage, project: Project, archive: Archive): AsyncGenerator<string> {
  const { number, first_line, last_line } = archive;
  const known = await storage.read(() => archivesOf(project.name));
  const before = known.filter((one) => one.number < number).at(-1);
  const [prior] =
    first_line > 1 ? await storage.read(() => entriesFrom(project.name, first_line - 1, 1)) : [];
  yield `${headerText(project.name, { number, first_line }, { head: prior?.sha256 ?? '', before })}\n`;
  for (let line = first_line; line <= last_line; line += mostAtOnce) {
    const count = Math.min(mostAtOnce, last_line - line + 1);
    const entries = await storage.read(() => entriesFrom(project.name, line, count));
    yield entries.map((entry) => `${formatLine(entry)}\n`).join('');
  }
}
