import { fstatSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { StompError } from '../errors.js';
import type { Fences, StompGuard } from '../guard/index.js';
import {
  besideLog,
  createLog,
  findLines,
  hashOf,
  lineEndsAt,
  makeFolders,
  numbersFrom,
  openLog,
  openLogToRead,
  syncFolder,
  writeMissing,
} from '../storage/log-file.js';
import { chainedHash } from '../storage/log-text.js';
import type { Storage } from '../storage/storage.js';
import type { Entry } from './entry.js';
import { formatLine } from './line.js';
import { lost, rename, setAside, unwritable } from './log-aside.js';
import {
  type Archive,
  acceptance,
  archivesOf,
  entriesFrom,
  headerText,
  type LogState,
  logState,
  mostAtOnce,
  noteArchive,
  noteWritten,
  rowMissing,
  type Written,
} from './log-rows.js';
import type { Project } from './types.js';

export interface LogWriterSetup {
  readonly storage: Storage;
  readonly fences: Fences;
  readonly rotateBytes: number;
  readonly now: () => number;
}

/** What was done, in sentences, that was not to be expected. */
export type Repairs = string[];

export class LogWriter {
  readonly #setup: LogWriterSetup;

  constructor(setup: LogWriterSetup) {
    this.#setup = setup;
  }

  /**
   * REQUIRES: the guard holds the lease on the file.
   * @param state of the database, when it was just read
   * @throws StompError LOG_UNWRITABLE, LOG_CORRUPT, FENCED, DB_BUSY
   */
  async bring(project: Project, guard: StompGuard, state?: LogState): Promise<Repairs> {
    const repairs: Repairs = [];
    try {
      let next: LogState | undefined = state ?? (await this.#read(project));
      while (next) next = await this.#step(project, guard, next, repairs);
      return repairs;
    } catch (error) {
      throw unwritable(error, project);
    }
  }

  /**
   * Sets the file aside and makes it anew from the rows.
   * REQUIRES: the guard holds the lease on the file, and `bring` has succeeded under it.
   * @throws StompError as `bring`
   */
  async remake(project: Project, guard: StompGuard): Promise<Repairs> {
    try {
      const before = await this.#read(project);
      await this.#checkRows(project, before);
      const repairs = [await setAside(project, guard, project.progress_log_path, this.#setup.now())];
      const state = await this.#beginAnew(project, guard, before, repairs);
      return [...repairs, ...(await this.bring(project, guard, state))];
    } catch (error) {
      throw unwritable(error, project);
    }
  }

  #read(project: Project): Promise<LogState> {
    return this.#setup.storage.read(() => logState(project.name));
  }

  /** @returns what is to be done next; undefined when all is done. */
  async #step(
    project: Project,
    guard: StompGuard,
    state: LogState,
    repairs: Repairs,
  ): Promise<LogState | undefined> {
    const path = project.progress_log_path;
    if (state.written_line > 0 && !state.last) throw rowMissing(project.name, state.written_line);
    const handle = await openLog(path);
    try {
      if (state.bytes > 0 && !(handle && holds(handle, state, project))) {
        return await this.#replace(project, guard, state, { repairs, there: handle !== undefined });
      }
      if (state.bytes > 0 && state.missing.length === 0) return undefined;
      return await this.#write(project, guard, state, { handle, repairs });
    } finally {
      await handle?.close();
    }
  }

  async #write(
    project: Project,
    guard: StompGuard,
    state: LogState,
    { handle, repairs }: { handle: FileHandle | undefined; repairs: Repairs },
  ): Promise<LogState | undefined> {
    const path = project.progress_log_path;
    const lines = linesOf(state, project);
    if (handle && this.#isFull(handle, state, lines)) {
      return this.#rotate(project, guard, state);
    }
    const file = handle ?? (await this.#create(project));
    try {
      if (!guard.held) throw lost(project);
      // From here to the writing nothing else happens in this process.
      const found = findLines(file.fd, state.bytes, lines);
      noteFound(found, state, repairs, path);
      const bytes = writeMissing(file.fd, found, lines);
      await file.datasync();
      if (state.bytes === 0) await syncFolder(dirname(path));
      const written = { ...state, bytes, written_line: state.written_line + state.missing.length };
      await this.#note(project, guard, written);
    } finally {
      if (!handle) await file.close();
    }
    return state.missing.length < mostAtOnce ? undefined : this.#read(project);
  }

  async #create(project: Project): Promise<FileHandle> {
    await makeFolders(project.progress_log_path, project.root);
    return createLog(project.progress_log_path);
  }

  /** Whether the next line belongs into a new file: never one that is written in part. */
  #isFull(handle: FileHandle, state: LogState, lines: readonly string[]): boolean {
    if (state.bytes === 0 || fstatSync(handle.fd).size < this.#setup.rotateBytes) return false;
    const found = findLines(handle.fd, state.bytes, lines);
    const last = state.written_line + found.lines;
    return found.torn === 0 && !found.junk && found.lines < lines.length && last >= state.first_line;
  }

  async #rotate(project: Project, guard: StompGuard, state: LogState): Promise<LogState> {
    const path = project.progress_log_path;
    const archive = await rename(path, numbersFrom(state.number), { guard, project });
    return this.#close(project, guard, state, archive);
  }

  /** Notes that a file is closed, under the name that it has been given. */
  async #close(project: Project, guard: StompGuard, state: LogState, path: string): Promise<LogState> {
    const handle = await openLogToRead(path);
    if (!handle) throw new StompError('FENCED', `${path} was moved by somebody else.`);
    try {
      const found = findLines(handle.fd, state.bytes, linesOf(state, project));
      const last_line = state.written_line + found.lines;
      const { number, first_line } = state;
      const { sha256, bytes } = await hashOf(handle);
      const closed_at = this.#setup.now();
      const archive: Archive = { number, path, bytes, first_line, last_line, sha256, closed_at };
      const next: Written = {
        number: number + 1,
        bytes: 0,
        first_line: last_line + 1,
        written_line: last_line,
      };
      await this.#note(project, guard, next, archive);
    } finally {
      await handle.close();
    }
    return this.#read(project);
  }

  /** The file is not the one that was written: it has been closed, or somebody has removed or replaced it. */
  async #replace(
    project: Project,
    guard: StompGuard,
    state: LogState,
    { repairs, there }: { repairs: Repairs; there: boolean },
  ): Promise<LogState> {
    const path = project.progress_log_path;
    const archive = await this.#closedBefore(project, state);
    if (archive) {
      repairs.push(`Noted that ${basename(archive)} is closed.`);
      return this.#close(project, guard, state, archive);
    }
    await this.#checkRows(project, state);
    if (there) repairs.push(await setAside(project, guard, path, this.#setup.now()));
    return this.#beginAnew(project, guard, state, repairs);
  }

  /** @throws StompError LOG_CORRUPT when the rows of the file were changed: the file may be the one that is right. */
  async #checkRows(project: Project, { first_line }: LogState): Promise<void> {
    let before: Entry | undefined;
    let from = Math.max(1, first_line - 1);
    for (;;) {
      const rows = await this.#setup.storage.read(() => entriesFrom(project.name, from, mostAtOnce));
      for (const row of rows) {
        if (row.line >= first_line) checkRow(row, before);
        before = row;
      }
      if (rows.length < mostAtOnce) return;
      from += rows.length;
    }
  }

  async #beginAnew(
    project: Project,
    guard: StompGuard,
    state: LogState,
    repairs: Repairs,
  ): Promise<LogState> {
    const path = project.progress_log_path;
    repairs.push(`Made ${basename(path)} anew from line ${state.first_line} on.`);
    await this.#note(project, guard, { ...state, bytes: 0, written_line: state.first_line - 1 });
    return this.#read(project);
  }

  /** Where the file is, if it was renamed to be closed and that was not noted any more. */
  async #closedBefore(project: Project, state: LogState): Promise<string | undefined> {
    const known = await this.#setup.storage.read(() => archivesOf(project.name));
    for (const name of numbersFrom(state.number)) {
      const path = besideLog(project.progress_log_path, name);
      const handle = await openLogToRead(path);
      if (!handle) return undefined;
      try {
        if (!known.some((one) => one.path === path) && holds(handle, state, project)) return path;
      } finally {
        await handle.close();
      }
    }
    return undefined;
  }

  #note(project: Project, guard: StompGuard, written: Written, archive?: Archive): Promise<void> {
    const { storage, fences } = this.#setup;
    return storage.write(function* () {
      yield* acceptance(fences, guard.tokens);
      if (archive) yield* noteArchive(project.name, archive);
      yield* noteWritten(project.name, written);
    });
  }
}

function checkRow(row: Entry, before: Entry | undefined): void {
  const follows = row.line === (before?.line ?? 0) + 1;
  if (follows && chainedHash(before?.sha256 ?? '', formatLine(row)) === row.sha256) return;
  throw new StompError(
    'LOG_CORRUPT',
    `The row of line ${row.line} of the progress log of ${row.project}, or the one before it, was changed or removed: nothing is made from it. See what \`stomp-serve context audit\` says, and restore the database from a backup.`,
    { fields: { project: row.project, line: row.line } },
  );
}

/** What is to follow `state.bytes`. */
function linesOf(state: LogState, project: Project): string[] {
  const lines = state.missing.map(formatLine);
  return state.bytes === 0 ? [headerOf(state, project), ...lines] : lines;
}

function headerOf(state: LogState, project: Project): string {
  return headerText(project.name, state, { head: state.last?.sha256 ?? '', before: state.before });
}

/** Whether the last line that is known to be written is where it was. */
function holds(handle: FileHandle, state: LogState, project: Project): boolean {
  const own = state.last && state.written_line >= state.first_line;
  const line = own && state.last ? formatLine(state.last) : headerOf(state, project);
  return lineEndsAt(handle.fd, state.bytes, line);
}

function noteFound(
  found: ReturnType<typeof findLines>,
  state: LogState,
  repairs: Repairs,
  path: string,
): void {
  const name = basename(path);
  const lines = found.lines - (state.bytes === 0 ? 1 : 0);
  if (lines > 0) repairs.push(`Found ${lines} lines in ${name} that were not noted as written.`);
  if (found.torn > 0) repairs.push(`Completed a half-written line of ${name}.`);
  if (found.junk) repairs.push(`Cut off what a power cut has left behind the last line of ${name}.`);
  if (found.unended) repairs.push(`Ended a line of somebody else in ${name}.`);
}
