/**
 * Lock keys: `class-prefix:name`, compared by their characters. A key that ends in `/` stands for a directory and
 * covers every key that begins with it. Pure.
 */
import { refuse } from '../arguments.js';

/** How a key is held: any number of holders may share it, or one has it alone. */
export type LockMode = 'exclusive' | 'shared';

/** A key and how it is wanted. */
export interface KeyRequest {
  readonly key: string;
  readonly mode: LockMode;
}

// What an index of PostgreSQL takes, beside the names of a holder.
const maxKeyBytes = 2048;
// What one statement of SQLite takes: each key and each folder above it is a parameter, each folder key a condition.
const maxKeys = 500;
const maxPlaces = 10_000;

/** Whether a key covers others. */
export function isDirectory(key: string): boolean {
  return key.endsWith('/');
}

/** Whether two keys stand for something in common. */
export function overlap(a: string, b: string): boolean {
  return a === b || (isDirectory(a) && b.startsWith(a)) || (isDirectory(b) && a.startsWith(b));
}

/** Whether both cannot be held at once by different owners. */
export function conflict(a: KeyRequest, b: KeyRequest): boolean {
  return (a.mode === 'exclusive' || b.mode === 'exclusive') && overlap(a.key, b.key);
}

/** The directory keys that cover `key`, the key itself left out: `code:/a/b` gives `code:/` and `code:/a/`. */
export function directoriesOf(key: string): string[] {
  const found: string[] = [];
  for (let at = key.indexOf('/'); at >= 0 && at < key.length - 1; at = key.indexOf('/', at + 1)) {
    found.push(key.slice(0, at + 1));
  }
  return found;
}

/**
 * Each key once, in order; exclusive wins where a key is asked for in both modes.
 * @throws StompError INVALID_REQUEST
 */
export function checkKeys(keys: unknown, mode: LockMode): KeyRequest[] {
  if (typeof keys === 'string') return [{ key: checkKey(keys), mode: checkMode(mode) }];
  const list: unknown[] = Array.isArray(keys) ? keys : [keys];
  if (list.length === 0) refuse('keys', keys, 'at least one key');
  const modes = new Map<string, LockMode>();
  for (const item of list) {
    const wanted = typeof item === 'string' ? { key: item, mode } : (item as Partial<KeyRequest> | null);
    const key = checkKey(wanted?.key);
    const asked = checkMode(wanted?.mode ?? mode);
    if (modes.get(key) !== 'exclusive') modes.set(key, asked);
  }
  checkCount([...modes.keys()]);
  const requests = Array.from(modes, ([key, asked]) => ({ key, mode: asked }));
  return requests.sort((a, b) => (a.key < b.key ? -1 : 1));
}

function checkCount(keys: readonly string[]): void {
  const places = keys.reduce((sum, key) => sum + 1 + directoriesOf(key).length, 0);
  if (keys.length <= maxKeys && places <= maxPlaces) return;
  refuse('keys', keys, `at most ${maxKeys} keys, and ${maxPlaces} with all folders above them`);
}

function checkKey(key: unknown): string {
  return isName(key, maxKeyBytes) ? key : refuse('keys', key, `texts of 1 to ${maxKeyBytes} bytes`);
}

/** Text that every database keeps as it is. */
export function isName(value: unknown, maxBytes: number): value is string {
  if (typeof value !== 'string' || value === '' || value.length > maxBytes) return false;
  // A character is three bytes at most.
  return !unfit.test(value) && (value.length * 3 <= maxBytes || Buffer.byteLength(value) <= maxBytes);
}

// A lone surrogate does not come back from UTF-8 as it was.
const unfit = /\0|\p{Surrogate}/u;

function checkMode(mode: unknown): LockMode {
  return mode === 'exclusive' || mode === 'shared' ? mode : refuse('mode', mode, '"exclusive" or "shared"');
}
