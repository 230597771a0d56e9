/**
 * A file to which one writer at a time appends lines, each once, also when the writer before was cut off at any point.
 *
 * Whoever appends knows which lines are to follow which place. What is behind that place is read first: lines that are
 * there already are not written again, half a line is completed, a text of somebody else stays. Lines are written to
 * their place, not to wherever the end is by then: a writer that was asleep and is no longer the only one
 * writes what is there already.
 */
import { createHash } from 'node:crypto';
import {
  constants,
  fstatSync,
  ftruncateSync,
  linkSync,
  lstatSync,
  readSync,
  renameSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { type FileHandle, mkdir, open, writeFile } from 'node:fs/promises';
import { basename, dirname, extname, join, sep } from 'node:path';

const newline = 0x0a;
const ownFolder = '.stomp';
const chunkBytes = 64 << 10;

/** @returns undefined when there is none */
export async function openLog(path: string): Promise<FileHandle | undefined> {
  try {
    return await checked(await open(path, constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK));
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** As `openLog`, without the right to change it. */
export async function openLogToRead(path: string): Promise<FileHandle | undefined> {
  try {
    return await checked(await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK));
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** A new file. Call `syncFolder` when something is in it. */
export async function createLog(path: string): Promise<FileHandle> {
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  return checked(await open(path, flags, 0o666));
}

async function checked(handle: FileHandle): Promise<FileHandle> {
  if (fstatSync(handle.fd).isFile()) return handle;
  await handle.close();
  throw Object.assign(new Error('it is no plain file'), { code: 'EINVAL' });
}

/** Makes the folders below `root` that lead to the file; neither the root itself nor anything elsewhere. */
export async function makeFolders(path: string, root: string): Promise<void> {
  const below = root.endsWith(sep) ? root : root + sep;
  const made: string[] = [];
  for (let at = dirname(path); at.startsWith(below); at = dirname(at)) made.unshift(at);
  for (const one of made) {
    try {
      await mkdir(one);
      await ignoreOwnFolder(one);
      await syncFolder(dirname(one));
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error;
    }
  }
}

/** Git is told to leave alone what is made in a `.stomp` of our own; where others have made it, they have decided on that. */
export async function ignoreOwnFolder(made: string): Promise<void> {
  if (basename(made) === ownFolder) await writeFile(join(made, '.gitignore'), '*\n', { flag: 'wx' });
}

/** So that names that were made or changed in it outlive a power cut. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Whether there is such a file, and it begins with this text. */
export async function beginsWith(path: string, text: string): Promise<boolean> {
  const handle = await openLogToRead(path);
  if (!handle) return false;
  try {
    const wanted = Buffer.from(text);
    return readAt(handle.fd, 0, wanted.length).equals(wanted);
  } finally {
    await handle.close();
  }
}

/** Whether this line ends at this place. */
export function lineEndsAt(fd: number, end: number, line: string): boolean {
  const wanted = Buffer.from(`${line}\n`);
  const start = end - wanted.length;
  if (start < 0 || !readAt(fd, start, wanted.length).equals(wanted)) return false;
  return start === 0 || readAt(fd, start - 1, 1)[0] === newline;
}

/** What a file holds behind a place. */
export interface Found {
  /** How many of the lines are there, from the first one on. */
  readonly lines: number;
  /** Where the last of them ends. */
  readonly end: number;
  /** Where what is missing belongs: the end of the file, or of the part of a line that is there. */
  readonly at: number;
  /** How many bytes of the next line are there already. */
  readonly torn: number;
  /** What is written first: whoever wrote last did not end the line. */
  readonly unended: boolean;
  /** Behind `at` there is nothing but what a power cut leaves. */
  readonly junk: boolean;
  /** There are lines of somebody else. */
  readonly foreign: boolean;
}

/** Looks for these lines, in this order, from `from` on. Whatever else there is between them is somebody else's. */
export function findLines(fd: number, from: number, lines: readonly string[]): Found {
  const size = fstatSync(fd).size;
  let found = 0;
  let end = from;
  let foreign = false;
  const rest = (): Found => ({ lines: found, end, at: size, torn: 0, unended: false, junk: false, foreign });
  for (const line of linesOf(fd, { from, to: size })) {
    const wanted = lines[found];
    if (wanted === undefined) return { ...rest(), foreign: true };
    if (line.ended && isText(line, wanted)) {
      found++;
      end = line.end;
      continue;
    }
    if (!line.ended) return unendedLine(line, wanted, rest());
    foreign = true;
  }
  return rest();
}

function unendedLine(line: Line, wanted: string, rest: Found): Found {
  const text = trimmed(line.text);
  const mine = !line.long && Buffer.from(wanted).subarray(0, text.length).equals(text);
  if (!mine) return { ...rest, unended: true, foreign: true };
  return { ...rest, at: line.start + text.length, torn: text.length, junk: text.length < line.text.length };
}

/** Without the zeros to which a file may have grown before its text was on disk. */
function trimmed(text: Buffer): Buffer {
  let end = text.length;
  while (end > 0 && text[end - 1] === 0) end--;
  return text.subarray(0, end);
}

/**
 * Writes those of the lines that were not found.
 * @returns where the last line ends
 */
export function writeMissing(fd: number, found: Found, lines: readonly string[]): number {
  const missing = lines.slice(found.lines);
  if (missing.length === 0) return found.end;
  if (found.junk) ftruncateSync(fd, found.at);
  const text = Buffer.from(missing.map((line) => `${line}\n`).join(''));
  const bytes = found.unended ? Buffer.concat([Buffer.of(newline), text]) : text.subarray(found.torn);
  for (let done = 0; done < bytes.length; ) {
    done += writeSync(fd, bytes, done, bytes.length - done, found.at + done);
  }
  return found.at + bytes.length;
}

/** A line as it is on disk. */
export interface Line {
  /** Without its end; only the beginning of a long one. */
  readonly text: Buffer;
  readonly start: number;
  /** Behind its newline. */
  readonly end: number;
  /** Whether it has a newline. */
  readonly ended: boolean;
  /** Whether there is more of it than any line of a log has. */
  readonly long: boolean;
}

/** Byte by byte. */
export function isText(line: Line, text: string): boolean {
  return !line.long && line.text.equals(Buffer.from(text));
}

// An entry has less than 1 MiB, however much of it is escaped.
const longestLineBytes = 2 << 20;

/** The lines of a part of a file, with bounded memory. */
export function* linesOf(fd: number, { from, to }: { from: number; to: number }): Generator<Line, void> {
  let start = from;
  let parts: Buffer[] = [];
  let kept = 0;
  const keep = (part: Buffer) => {
    if (kept > longestLineBytes) return;
    parts.push(part);
    kept += part.length;
  };
  const line = (end: number, ended: boolean): Line => {
    const text = Buffer.concat(parts);
    return {
      text: text.subarray(0, longestLineBytes),
      start,
      end,
      ended,
      long: text.length > longestLineBytes,
    };
  };
  for (let at = from; at < to; ) {
    const chunk = readAt(fd, at, Math.min(chunkBytes, to - at));
    if (chunk.length === 0) break;
    let used = 0;
    for (let mark = chunk.indexOf(newline); mark >= 0; mark = chunk.indexOf(newline, used)) {
      keep(chunk.subarray(used, mark));
      used = mark + 1;
      yield line(at + used, true);
      start = at + used;
      parts = [];
      kept = 0;
    }
    keep(chunk.subarray(used));
    at += chunk.length;
  }
  if (kept > 0) yield line(to, false);
}

/** Of all its bytes; SHA-256 in lower-case hex. */
export async function hashOf(handle: FileHandle): Promise<{ sha256: string; bytes: number }> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of handle.createReadStream({ start: 0, autoClose: false })) {
    hash.update(chunk as Buffer);
    bytes += (chunk as Buffer).length;
  }
  return { sha256: hash.digest('hex'), bytes };
}

/** Less at the end of the file. */
function readAt(fd: number, at: number, length: number): Buffer {
  const buffer = Buffer.allocUnsafe(length);
  let done = 0;
  for (let read = -1; read !== 0 && done < length; done += read) {
    read = readSync(fd, buffer, done, length - done, at + done);
  }
  return buffer.subarray(0, done);
}

/**
 * Gives the file another name beside it, never that of another file: `PROGRESS_LOG.0001.md`. What was begun by a
 * process that was killed here is finished.
 * @param names the middle parts to try, until one is free
 * @returns its path
 * @throws Error EEXIST when somebody else has done the same in this moment
 */
export function renameToFree(path: string, names: Iterable<string>): string {
  const { ino, dev } = lstatSync(path);
  for (const name of names) {
    const target = besideLog(path, name);
    const there = lstatSync(target, { throwIfNoEntry: false });
    if (there && !(there.ino === ino && there.dev === dev)) continue;
    if (!there && !linked(path, target)) renameSync(path, target);
    else unlinkSync(path);
    return target;
  }
  throw new Error(`No name beside ${path} is free.`);
}

/** A rename would take the place of a file that has appeared meanwhile. Some file systems have nothing else. */
function linked(path: string, target: string): boolean {
  try {
    linkSync(path, target);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST' || codeOf(error) === 'ENOENT') throw error;
    return false;
  }
}

/** `PROGRESS_LOG.<name>.md` of `PROGRESS_LOG.md`. */
export function besideLog(path: string, name: string): string {
  const extension = extname(path);
  return join(dirname(path), `${basename(path, extension)}.${name}${extension}`);
}

/** `0001`, `0002`, … */
export function* numbersFrom(first: number): Generator<string, void> {
  for (let n = first; n < first + 100_000; n++) yield String(n).padStart(4, '0');
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}
