/** What the database says of a project's log: the entries are the truth, the file is brought to them. */
import { StompError } from '../errors.js';
import type { Fences, Tokens } from '../guard/index.js';
import { escaper, type Field, fieldsText } from '../storage/log-text.js';
import { type Row, rows, type Work } from '../storage/storage.js';
import { type Entry, entryStatuses } from './entry.js';
import { entryColumns, entryOf } from './entry-rows.js';

/** Of a file that is full and closed. */
export interface Archive {
  readonly number: number;
  readonly path: string;
  readonly bytes: number;
  readonly first_line: number;
  readonly last_line: number;
  readonly sha256: string;
  readonly closed_at: number;
}

/** Of locks that are switched off there are no tokens. */
export function* acceptance(fences: Fences, tokens: Tokens): Work<void> {
  if (tokens.size > 0) yield* fences.acceptWithin(tokens);
}

/** What the current file is known to hold. */
export interface Written {
  /** Of the file, from 1. */
  readonly number: number;
  /** Where the last line that is known to be there ends; 0: not even the header is. */
  readonly bytes: number;
  /** Of the file, behind its header. */
  readonly first_line: number;
  readonly written_line: number;
}

export interface LogState extends Written {
  /** The entry of `written_line`, also when it is in the file before; undefined where there is none. */
  readonly last: Entry | undefined;
  /** Entries that the file is not known to hold, the first ones of them. */
  readonly missing: readonly Entry[];
  /** The file before, where the current one has no entry yet. */
  readonly before: Archive | undefined;
}

/** So many entries are brought into a file at once. */
export const mostAtOnce = 256;

export function* writtenOf(project: string): Work<Written> {
  const [row] = yield* rows(
    'SELECT number, bytes, first_line, written_line FROM progress_logs WHERE project = ?',
    project,
  );
  return {
    number: Number(row?.number ?? 1),
    bytes: Number(row?.bytes ?? 0),
    first_line: Number(row?.first_line ?? 1),
    written_line: Number(row?.written_line ?? 0),
  };
}

export function* logState(project: string): Work<LogState> {
  const written = yield* writtenOf(project);
  const entries = yield* entriesFrom(project, Math.max(1, written.written_line), mostAtOnce + 1);
  const last = entries[0]?.line === written.written_line ? entries[0] : undefined;
  const before = written.written_line < written.first_line ? (yield* archivesOf(project)).at(-1) : undefined;
  return { ...written, last, missing: last ? entries.slice(1) : entries, before };
}

/** In the order of their lines. */
export function* entriesFrom(project: string, line: number, limit: number): Work<Entry[]> {
  const found = yield* rows(
    `SELECT ${entryColumns} FROM entries WHERE project = ? AND line >= ? ORDER BY line LIMIT ?`,
    project,
    line,
    limit,
  );
  return found.map(entryOf);
}

export function* archivesOf(project: string): Work<Archive[]> {
  const found = yield* rows(
    `SELECT number, path, bytes, first_line, last_line, sha256, closed_at
       FROM progress_log_archives WHERE project = ? ORDER BY number`,
    project,
  );
  return found.map(archiveOf);
}

function archiveOf(row: Row): Archive {
  return {
    number: Number(row.number),
    path: String(row.path),
    bytes: Number(row.bytes),
    first_line: Number(row.first_line),
    last_line: Number(row.last_line),
    sha256: String(row.sha256),
    closed_at: Number(row.closed_at),
  };
}

/** Names of projects whose files are not known to hold all entries. */
export function* unfinishedLogs(): Work<string[]> {
  const found = yield* rows(
    `SELECT p.name FROM projects p JOIN metrics m ON m.project = p.name
       LEFT JOIN progress_logs l ON l.project = p.name WHERE m.entries > COALESCE(l.written_line, 0)`,
  );
  return found.map(({ name }) => String(name));
}

export function* noteWritten(
  project: string,
  { number, bytes, first_line, written_line }: Written,
): Work<void> {
  yield* rows(
    `INSERT INTO progress_logs (project, number, bytes, first_line, written_line) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (project) DO UPDATE SET number = excluded.number, bytes = excluded.bytes,
         first_line = excluded.first_line, written_line = excluded.written_line`,
    project,
    number,
    bytes,
    first_line,
    written_line,
  );
}

export function* noteArchive(project: string, archive: Archive): Work<void> {
  yield* rows(
    `INSERT INTO progress_log_archives (project, number, path, bytes, first_line, last_line, sha256, closed_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (project, number) DO NOTHING`,
    project,
    archive.number,
    archive.path,
    archive.bytes,
    archive.first_line,
    archive.last_line,
    archive.sha256,
    archive.closed_at,
  );
}

/** Number of the last line, and its hash. */
export interface Head {
  readonly entries: number;
  readonly head: string;
}

export function* headOf(project: string): Work<Head> {
  const [row] = yield* rows('SELECT entries, head FROM metrics WHERE project = ?', project);
  return { entries: Number(row?.entries ?? 0), head: String(row?.head ?? '') };
}

/** The same, so that no other transaction numbers entries of this project before this one has ended. */
export function* lockHead(project: string): Work<Head> {
  const found = yield* lockedHead(project);
  if (found) return found;
  yield* rows(
    `INSERT INTO metrics (project, entries, head, ${entryStatuses.join(', ')})
       VALUES (?, 0, '', ${entryStatuses.map(() => '0').join(', ')}) ON CONFLICT (project) DO NOTHING`,
    project,
  );
  return (yield* lockedHead(project)) ?? { entries: 0, head: '' };
}

function* lockedHead(project: string): Work<Head | undefined> {
  const [row] = yield* rows(
    'UPDATE metrics SET entries = entries WHERE project = ? RETURNING entries, head',
    project,
  );
  return row && { entries: Number(row.entries), head: String(row.head) };
}

const inTitle = escaper('|');

/** The first line of a file. It ties the file to the one before. */
export function headerText(
  project: string,
  file: Pick<Written, 'number' | 'first_line'>,
  { head, before }: { head: string; before: { path: string; sha256: string } | undefined },
): string {
  const fields: Field[] = [
    ['file', String(file.number)],
    ['first_line', String(file.first_line)],
    ['head', head],
  ];
  if (before)
    fields.push(
      ['before', before.path.slice(before.path.lastIndexOf('/') + 1)],
      ['before_sha256', before.sha256],
    );
  return `# Progress log of ${inTitle(project)} | ${fieldsText(fields)}`;
}

export function rowMissing(project: string, line: number): StompError {
  return new StompError(
    'LOG_CORRUPT',
    `The row of line ${line} of the progress log of ${project} is not in the database. Restore the database from a backup, or read the line in the file.`,
    { fields: { project, line } },
  );
}
