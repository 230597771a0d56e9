/**
 * Compares a project's files with its rows, line by line and hash by hash, and says what differs. It changes nothing,
 * and holds one line and a page of rows at a time.
 */
import { fstatSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { hashOf, isText, type Line, linesOf, openLogToRead } from '../storage/log-file.js';
import type { Storage } from '../storage/storage.js';
import { formatLine, type LineEntry, parseLine } from './line.js';
import {
  type Archive,
  archivesOf,
  type Head,
  headerText,
  headOf,
  type Written,
  writtenOf,
} from './log-rows.js';
import { RowChain } from './row-chain.js';
import type { Project } from './types.js';

/** Something that is not as it was written. */
export interface AuditProblem {
  /** Its path; null: the database. */
  readonly file: string | null;
  /** Of the file, from 1; null: all of it. Of the database the number of an entry. */
  readonly line: number | null;
  readonly problem: string;
}

/** One of the files of a log. */
export interface AuditedFile {
  readonly path: string;
  readonly bytes: number;
  /** How many entries were found in their place, as they were written. */
  readonly lines: number;
  /** Whether it is full and closed. */
  readonly closed: boolean;
  /** Whether its header and all its entries are there; also when there are lines of somebody else between them. */
  readonly whole: boolean;
}

/** What the audit of a project has found. */
export interface AuditReport {
  readonly project: string;
  readonly ok: boolean;
  readonly files: readonly AuditedFile[];
  /** Of all files. */
  readonly lines: number;
  /** Hash of the last entry; empty for none. */
  readonly head: string;
  /** The first 1,000. */
  readonly problems: readonly AuditProblem[];
}

/** What is audited: as it was at one moment, when nobody was writing. */
export interface Snapshot {
  readonly written: Written;
  readonly archives: readonly Archive[];
  readonly head: Head;
  /** The file, or why there is none. */
  readonly file: FileHandle | string;
  readonly bytes: number;
}

const mostProblems = 1000;

/** REQUIRES: the caller holds the lease on the file. */
export async function snapshotOf(storage: Storage, project: Project): Promise<Snapshot> {
  const rows = await storage.read(function* () {
    const written = yield* writtenOf(project.name);
    return { written, archives: yield* archivesOf(project.name), head: yield* headOf(project.name) };
  });
  const file = await opened(project.progress_log_path);
  return { ...rows, file, bytes: typeof file === 'string' ? 0 : fstatSync(file.fd).size };
}

/** @returns why it cannot be, in a sentence */
async function opened(path: string): Promise<FileHandle | string> {
  try {
    return (await openLogToRead(path)) ?? 'The file is missing.';
  } catch (error) {
    return `The file cannot be read: ${(error as Error).message}.`;
  }
}

/** Closes the file of the snapshot. */
export async function auditLog(storage: Storage, project: Project, snapshot: Snapshot): Promise<AuditReport> {
  try {
    return await new LogAudit(storage, project, snapshot).run();
  } finally {
    if (typeof snapshot.file !== 'string') await snapshot.file.close();
  }
}

class LogAudit {
  readonly #project: Project;
  readonly #snapshot: Snapshot;
  readonly #rows: RowChain;
  readonly #problems: AuditProblem[] = [];
  readonly #files: AuditedFile[] = [];

  constructor(storage: Storage, project: Project, snapshot: Snapshot) {
    this.#project = project;
    this.#snapshot = snapshot;
    this.#rows = new RowChain(storage, project.name, snapshot.head.entries, (line, problem) =>
      this.#tell(null, line, problem),
    );
  }

  async run(): Promise<AuditReport> {
    const { archives, head } = this.#snapshot;
    let before: Archive | undefined;
    for (const archive of archives) {
      await this.#archive(archive, before);
      before = archive;
    }
    await this.#current(before);
    await this.#rows.end(head);
    const problems = this.#problems;
    return {
      project: this.#project.name,
      ok: problems.length === 0,
      files: this.#files,
      lines: this.#files.reduce((sum, { lines }) => sum + lines, 0),
      head: head.head,
      problems,
    };
  }

  async #archive(archive: Archive, before: Archive | undefined): Promise<void> {
    const { path, number, first_line, last_line } = archive;
    const handle = await opened(path);
    if (typeof handle === 'string') {
      this.#tell(path, null, `${handle} It is closed, with the entries ${first_line} to ${last_line}.`);
      await this.#rows.skipTo(last_line + 1);
      this.#files.push({ path, bytes: 0, lines: 0, closed: true, whole: false });
      return;
    }
    try {
      const { sha256, bytes } = await hashOf(handle);
      if (sha256 !== archive.sha256) {
        this.#tell(
          path,
          null,
          `The closed file was changed: its SHA-256 is ${sha256}, and was ${archive.sha256}.`,
        );
      }
      await this.#file({ path, number, first_line, last_line, handle, bytes, closed: true }, before);
    } finally {
      await handle.close();
    }
  }

  async #current(before: Archive | undefined): Promise<void> {
    const { written, file: handle, bytes, head } = this.#snapshot;
    const path = this.#project.progress_log_path;
    const { number, first_line } = written;
    // It is begun with the first entry.
    if (head.entries === 0 && written.bytes === 0) return;
    if (typeof handle === 'string') {
      this.#tell(path, null, handle);
      await this.#rows.skipTo(head.entries + 1);
      this.#files.push({ path, bytes: 0, lines: 0, closed: false, whole: false });
      return;
    }
    const file = { path, number, first_line, last_line: head.entries, handle, bytes, closed: false };
    const { end, last } = await this.#file(file, before);
    if (end === written.bytes && last === written.written_line) return;
    this.#tell(
      path,
      null,
      `The database knows the file up to line ${written.written_line} at byte ${written.bytes}; it has lines up to ${last}, at byte ${end}.`,
    );
  }

  /** @returns the last entry that was found, and where it ends */
  async #file(file: FileOfLog, before: Archive | undefined): Promise<{ end: number; last: number }> {
    const pages = new Pages(this.#project, file, { head: this.#rows.head, before });
    let found = 0;
    let end = 0;
    for (const line of linesOf(file.handle.fd, { from: 0, to: file.bytes })) {
      pages.number++;
      const outcome = pages.isHeader(line) ? 'header' : await this.#line(file.path, pages.number, line);
      if (outcome === 'entry') found++;
      if (outcome !== undefined) end = line.end;
    }
    const { path, bytes, closed } = file;
    if (!pages.headed) this.#tell(path, 1, 'The header is missing or was changed.');
    const last = this.#rows.line - 1;
    await this.#missing(path, file.last_line + 1);
    const whole = pages.headed && found === file.last_line - file.first_line + 1;
    this.#files.push({ path, bytes, lines: found, closed, whole });
    return { end, last };
  }

  /** @returns undefined for a line that is not in its place */
  async #line(path: string, at: number, line: Line): Promise<'entry' | 'changed' | undefined> {
    if (!line.ended) {
      this.#tell(path, at, 'The line is half-written: it has no end.');
      return undefined;
    }
    const row = await this.#rows.peek();
    if (row && isText(line, formatLine(row))) {
      await this.#rows.take();
      return 'entry';
    }
    return this.#odd(path, at, line);
  }

  async #odd(path: string, at: number, found: Line): Promise<'entry' | 'changed' | undefined> {
    const text = found.text.toString();
    const parsed = isText(found, text) ? parsedOrNot(text) : undefined;
    if (!parsed) {
      this.#tell(path, at, 'This is no entry: it was added, changed or torn.');
      return undefined;
    }
    const { line } = parsed;
    if (line === this.#rows.line) {
      const rowChanged = await this.#rows.takeWith(text);
      if (rowChanged)
        this.#tell(null, line, 'The row was changed: its hash is that of the line in the file.');
      else this.#tell(path, at, `Entry ${line} was changed: it differs from its row.`);
      return 'changed';
    }
    if (await this.#rows.has(line, text)) {
      await this.#missing(path, line, at);
      await this.#rows.take();
      return 'entry';
    }
    this.#tell(
      path,
      at,
      `Entry ${line} does not belong here: it is out of place, there twice, or without a row.`,
    );
    return undefined;
  }

  /** Goes on to the row of `line`. */
  async #missing(path: string, line: number, at: number | null = null): Promise<void> {
    const first = this.#rows.line;
    if (first >= line) return;
    const what = first === line - 1 ? `Entry ${first} is` : `Entries ${first} to ${line - 1} are`;
    this.#tell(path, at, `${what} missing${at === null ? ' at the end' : ' before this line'}.`);
    await this.#rows.skipTo(line);
  }

  #tell(file: string | null, line: number | null, problem: string): void {
    if (this.#problems.length < mostProblems) this.#problems.push({ file, line, problem });
  }
}

interface FileOfLog {
  readonly path: string;
  readonly number: number;
  readonly first_line: number;
  readonly last_line: number;
  readonly handle: FileHandle;
  readonly bytes: number;
  readonly closed: boolean;
}

/** Where we are in a file. */
class Pages {
  number = 0;
  headed = false;
  readonly #header: string;

  constructor(
    project: Project,
    file: FileOfLog,
    { head, before }: { head: string; before: Archive | undefined },
  ) {
    this.#header = headerText(project.name, file, { head, before });
  }

  /** The first time. */
  isHeader(line: Line): boolean {
    if (this.headed || !line.ended || !isText(line, this.#header)) return false;
    this.headed = true;
    return true;
  }
}

function parsedOrNot(text: string): LineEntry | undefined {
  try {
    return parseLine(text);
  } catch {
    // What it is instead, nobody can say.
    return undefined;
  }
}
