/**
 * The state file, `.stomp/state.json`: what agents work on, for people and user interfaces to look at. The database
 * is the truth; nothing is decided by what stands here.
 *
 * Whoever reads it to write it again holds `stateLock`, so all calls here are synchronous: they are made in a step of
 * a transaction.
 */
import {
  closeSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { StompError } from '../errors.js';
import { rows, type Storage, type Work } from '../storage/storage.js';

/** The form of the file that this version writes; one without a number is of before there were any. */
export const stateFormat = 1;

/** What the file says. Members that are not named here are left as they are found. */
export interface State {
  readonly format: typeof stateFormat;
  /** What each agent works on. */
  readonly current: Readonly<Record<string, CurrentState>>;
  /** Names of the latest 5 that an agent has turned to, latest first, without repeats. */
  readonly recent_projects: readonly string[];
  /** The latest 10, latest first; each tool of an agent once. */
  readonly recent_tools: readonly RecentTool[];
  /** When the file was written, in milliseconds since 1970, as all times here. */
  readonly updated_at: number;
}

export interface CurrentState {
  readonly project: string | null;
  readonly version: number;
  readonly updated_at: number;
}

export interface RecentTool {
  readonly name: string;
  readonly agent_id: string;
  readonly at: number;
}

export type Members = Readonly<Record<string, unknown>>;

export interface StateText {
  readonly bytes: Buffer;
  readonly members: Members;
}

// A hundred thousand agents fit in; what is larger is none of ours, and not read.
const maxBytes = 64 * 1024 * 1024;

/**
 * From here to the end of the transaction nobody else writes a state file of this database. In SQLite a transaction
 * that writes is that lock already.
 */
export function* stateLock(storage: Storage): Work<void> {
  if (storage.dialect === 'sqlite') return;
  yield* rows("SELECT pg_advisory_xact_lock(hashtext('stomp-serve state ' || current_schema()))");
}

/**
 * @returns undefined when there is no file
 * @throws StompError STATE_INVALID when it holds no JSON object; INTERNAL_ERROR when it cannot be read
 */
export function readStateFile(path: string): StateText | undefined {
  const bytes = bytesOf(path);
  if (!bytes) return undefined;
  return { bytes, members: membersOf(path, bytes) };
}

/**
 * Replaces the file as a whole.
 * @param durably that it survives a power cut: a mirror can be made anew
 * @throws StompError INTERNAL_ERROR
 */
export function writeStateFile(path: string, members: Members, { durably = false } = {}): void {
  try {
    put(path, `${JSON.stringify(members, null, 2)}\n`, { durably, staged: `${path}.tmp` });
  } catch (error) {
    throw stateFileError(path, 'written', error);
  }
}

/** A copy beside it that survives a power cut. @throws StompError INTERNAL_ERROR */
export function copyStateFile(path: string, bytes: Buffer, copy: string): void {
  try {
    put(copy, bytes, { durably: true, staged: `${path}.tmp` });
  } catch (error) {
    throw stateFileError(path, `copied to ${copy}`, error);
  }
}

/** What the system refused, in words that help. */
export function stateFileError(path: string, what: string, error: unknown): StompError {
  const { code, message } = error as NodeJS.ErrnoException;
  return new StompError(
    'INTERNAL_ERROR',
    `The state file ${path} cannot be ${what}: ${message}. Check that its folder is there and may be written; ` +
      'the database is not affected.',
    { fields: { file: path, system_error: code ?? null }, cause: error },
  );
}

export function invalidState(path: string, problem: string, remedy: string, cause?: unknown): StompError {
  return new StompError('STATE_INVALID', `The state file ${path} ${problem}. ${remedy}`, {
    fields: { file: path },
    cause,
  });
}

interface Putting {
  readonly durably: boolean;
  /** Written first, in the same folder, so that the rename is one step. One name is enough: writers hold a lock. */
  readonly staged: string;
}

function put(path: string, content: string | Buffer, { durably, staged }: Putting): void {
  const folder = dirname(path);
  makeFolder(folder);
  rmSync(staged, { force: true });
  try {
    const file = openSync(staged, 'wx', 0o600);
    try {
      writeFileSync(file, content);
      if (durably) fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(staged, path);
  } catch (error) {
    rmSync(staged, { force: true });
    throw error;
  }
  if (durably) syncFolder(folder);
}

/** As the folder of progress logs is made: git leaves alone what lies in a `.stomp` of our own. */
function makeFolder(folder: string): void {
  const isNew = mkdirSync(folder, { recursive: true }) !== undefined;
  if (isNew && basename(folder) === '.stomp') writeFileSync(join(folder, '.gitignore'), '*\n');
}

/** So that a rename in it outlives a power cut. */
function syncFolder(folder: string): void {
  const handle = openSync(folder, 'r');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

function bytesOf(path: string): Buffer | undefined {
  try {
    // Looked at before it is opened, which would wait for the other end of a pipe.
    if (!statSync(path).isFile()) throw new Error('it is no file');
    const file = openSync(path, 'r');
    try {
      if (fstatSync(file).size > maxBytes) throw new Error(`it is larger than ${maxBytes} bytes`);
      return readFileSync(file);
    } finally {
      closeSync(file);
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw stateFileError(path, 'read', error);
  }
}

function membersOf(path: string, bytes: Buffer): Members {
  const remedy = 'Put back a copy that is whole, or remove it.';
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw invalidState(path, 'is no JSON', remedy, error);
  }
  if (isObject(value)) return value;
  throw invalidState(path, 'holds no JSON object', remedy);
}

/** Whether it is JSON with members. */
export function isObject(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
