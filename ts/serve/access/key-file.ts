/**
 * A file of API keys: one line each, `role key [name]`, or the key alone for a user. Empty lines and lines that
 * begin with `#` do not count. No error shows what a line holds.
 */
import type { BigIntStats } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { StompError } from '../../errors.js';
import { type ApiKey, KeyRing, keyProblem, ROLES, type Role } from './keys.js';

const MAX_FILE_BYTES = 1 << 20;
const WATCH_MS = 1000;
/** Anything for others, writing for the group. */
const TOO_OPEN = 0o027;

/** The keys of a file that is being watched. */
export interface KeyFile {
  readonly keys: KeyRing;
  /** Looks at the file no more. */
  close(): void;
}

/** What happens to the file while it is watched. */
export interface KeyFileEvents {
  /** The file has changed and its keys count now. */
  onChange?(): void;
  /** The file has changed and cannot be used; the keys from before still count. */
  onProblem?(error: StompError): void;
}

/**
 * Reads the keys, and again whenever the file changes.
 * @throws StompError CONFIG_INVALID when it cannot be read, is open to other users, or a line is wrong.
 */
export async function openKeyFile(path: string, events: KeyFileEvents = {}): Promise<KeyFile> {
  // Of before it is read: what changes meanwhile is read anew. The system's own watchers begin a moment later, and what
  // changes until then is lost on them.
  let seen = await stampOf(path);
  const keys = new KeyRing(await readKeyFile(path));
  const look = async (): Promise<void> => {
    const stamp = await stampOf(path);
    if (stamp === seen) return;
    seen = stamp;
    try {
      keys.replace(await readKeyFile(path));
      events.onChange?.();
    } catch (caught) {
      events.onProblem?.(caught as StompError);
    }
  };
  let last = Promise.resolve();
  const timer = setInterval(() => (last = last.then(look)), WATCH_MS).unref();
  return { keys, close: () => clearInterval(timer) };
}

/** Tells one state of the file from another. */
async function stampOf(path: string): Promise<string> {
  const { mtimeNs, ctimeNs, size, ino } = await stat(path, { bigint: true }).catch(gone);
  return `${mtimeNs} ${ctimeNs} ${size} ${ino}`;
}

const gone = (): Partial<BigIntStats> => ({});

/** @throws StompError CONFIG_INVALID */
export async function readKeyFile(path: string): Promise<ApiKey[]> {
  let file: FileHandle | undefined;
  try {
    file = await open(path);
    await checkFile(file, path);
    return parseKeyFile(await file.readFile('utf8'), path);
  } catch (caught) {
    if (caught instanceof StompError) throw caught;
    throw invalid(path, `it cannot be read (${(caught as { code?: unknown }).code ?? caught})`, caught);
  } finally {
    await file?.close();
  }
}

/** Pure. @throws StompError CONFIG_INVALID naming the line. */
export function parseKeyFile(text: string, path: string): ApiKey[] {
  const keys: ApiKey[] = [];
  for (const [index, line] of text
    .replace(/^\ufeff/, '')
    .split(/\r?\n/)
    .entries()) {
    const words = line.trim().split(/\s+/);
    if (words[0] === '' || words[0]?.startsWith('#')) continue;
    keys.push(keyOfLine(words, `line ${index + 1}`, path));
  }
  if (keys.length === 0) throw invalid(path, 'it holds no key; "stomp-serve keys new" makes one');
  return keys;
}

function keyOfLine(words: readonly string[], line: string, path: string): ApiKey {
  const [first = '', second, name] = words;
  if (words.length > 3 || (second !== undefined && !isRole(first))) {
    throw invalid(path, `${line} must be: role key [name], with a role of ${ROLES.join(', ')}`);
  }
  if (second === undefined && isRole(first)) throw invalid(path, `${line} has a role and no key`);
  const [role, key] = second === undefined ? ['user' as const, first] : [first as Role, second];
  const entry: ApiKey = name === undefined ? { role, key } : { role, key, name };
  const problem = keyProblem(entry);
  if (problem !== undefined) throw invalid(path, `the key in ${line} cannot be used: ${problem}`);
  return entry;
}

function isRole(word: string): word is Role {
  return (ROLES as readonly string[]).includes(word);
}

/** Windows keeps rights elsewhere than in the mode. */
async function checkFile(file: FileHandle, path: string): Promise<void> {
  const stat = await file.stat();
  if (!stat.isFile()) throw invalid(path, 'it is no regular file');
  if (stat.size > MAX_FILE_BYTES) throw invalid(path, 'it is larger than 1 MB');
  if (process.platform !== 'win32' && (stat.mode & TOO_OPEN) !== 0) {
    const mode = (stat.mode & 0o777).toString(8).padStart(3, '0');
    throw invalid(path, `other users can read or change it (mode ${mode}); run: chmod 600 ${path}`);
  }
}

function invalid(path: string, why: string, cause?: unknown): StompError {
  return new StompError('CONFIG_INVALID', `The key file ${path} is not usable: ${why}.`, {
    cause,
    fields: { field: 'api-key-file', value: path },
  });
}
