/**
 * Tells a model how the files that it was given have changed since. A block says all that differs from what the model
 * was given, so that the newest one is enough: those before it are taken out of the conversation, and would otherwise
 * take with them what only they said. What comes before the conversation is never touched: providers keep it cached.
 */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { sha256 } from '../file-text.js';
import { canonicalPath } from '../paths.js';
import { refreshHeading } from './refresh-blocks.js';
import { cutOutput } from './tools/limits.js';
import { countLines, unifiedDiff } from './unified-diff.js';

/** Files up to so many lines are shown in full. */
export const fullLines = 200;

const mostFileBytes = 1 << 20;
/** Of one file in a block. */
const mostPartChars = 64_000;
/** A file that has changed so shortly before it was read may change again without its times telling. */
const racyNs = 2_000_000_000n;

/** A file as it was when somebody looked. `state` says whether there is a text at all. */
interface FileState {
  readonly state: 'text' | 'absent' | 'unreadable';
  /** Lower-case hex, of the bytes; empty without a text. */
  readonly sha256: string;
}

/** A tracked file. Plain JSON. */
export interface TrackedFile {
  /** Canonical. */
  readonly path: string;
  /** As the model was given it, in the part of the prompt that does not change. */
  readonly given: FileState & { readonly text: string };
  /** As it was at the last look. */
  readonly latest: FileState;
  /** Times, size and inode at the last look; empty when they would not tell that nothing has changed since. */
  readonly stamp: string;
}

interface Look extends FileState {
  readonly text: string;
  readonly stamp: string;
}

/** Looks at files as a model is given them. @param paths canonical */
export async function track(paths: readonly string[]): Promise<TrackedFile[]> {
  const looks = await Promise.all(paths.map(async (path) => ({ path, look: await lookAt(path) })));
  return looks.map(({ path, look: { state, sha256, text, stamp } }) => ({
    path,
    given: { state, sha256, text },
    latest: { state, sha256 },
    stamp,
  }));
}

export interface Refreshed {
  readonly files: readonly TrackedFile[];
  /** Undefined when nothing has changed since the last look. */
  readonly block?: string;
}

/** Looks again. */
export async function refresh(files: readonly TrackedFile[]): Promise<Refreshed> {
  const looks = await Promise.all(files.map(lookAgain));
  const changed = looks.some((look, at) => look !== undefined && !isSame(look, files[at]?.latest));
  const next = files.map((file, at) => withLook(file, looks[at]));
  if (!changed) return { files: next };
  const parts = await Promise.all(next.map((file, at) => partOf(file, looks[at], files[at])));
  return { files: next, block: [refreshHeading, ...parts.filter((part) => part !== '')].join('\n\n') };
}

/** Undefined when the file is certainly the same. */
async function lookAgain(file: TrackedFile): Promise<Look | undefined> {
  const unchanged = file.stamp !== '' && (await stampOf(file.path)) === file.stamp;
  return unchanged ? undefined : lookAt(file.path);
}

function withLook(file: TrackedFile, look: Look | undefined): TrackedFile {
  if (!look) return file;
  return { ...file, latest: { state: look.state, sha256: look.sha256 }, stamp: look.stamp };
}

function isSame(a: FileState, b: FileState | undefined): boolean {
  return a.state === b?.state && a.sha256 === b.sha256;
}

/** Nothing for a file that is as it was given, unless it has just become so again. */
async function partOf(file: TrackedFile, look: Look | undefined, before: TrackedFile | undefined) {
  const { given, latest, path } = file;
  if (isSame(given, latest)) {
    return isSame(given, before?.latest) ? '' : `### ${path} (as it was given, again)`;
  }
  if (latest.state === 'absent') return `### ${path} (deleted)`;
  // It may have changed again since its turn to be looked at; then it is shown as it is, and told of once more.
  const { state, text } = look ?? (await lookAt(path));
  if (state !== 'text') return `### ${path} (changed; it is no text of at most 1 MiB that can be shown)`;
  const verb = given.state === 'absent' ? 'created' : 'changed';
  return `### ${path} (${verb}, ${countLines(text)} lines)\n${cutOutput(shown(file, text), mostPartChars)}`;
}

function shown({ path, given }: TrackedFile, text: string): string {
  if (countLines(text) <= fullLines) return text;
  return unifiedDiff(path, given.state === 'text' ? given.text : undefined, text);
}

async function lookAt(path: string): Promise<Look> {
  const handle = await openPlain(path);
  if (typeof handle === 'string') return { state: handle, sha256: '', text: '', stamp: '' };
  try {
    const stats = await handle.stat({ bigint: true });
    if (!stats.isFile() || stats.size > mostFileBytes) {
      return { state: 'unreadable', sha256: `${stats.size} ${stats.mtimeNs}`, text: '', stamp: '' };
    }
    const bytes = await handle.readFile();
    const racy = BigInt(Date.now()) * 1_000_000n - stats.ctimeNs < racyNs;
    const state = bytes.includes(0) ? 'unreadable' : 'text';
    const text = state === 'text' ? bytes.toString('utf8') : '';
    return { state, sha256: sha256(bytes), text, stamp: racy ? '' : stampText(stats) };
  } finally {
    await handle.close();
  }
}

/** A link that has taken the place of the file or of a folder above it is not followed. */
async function openPlain(path: string): Promise<FileHandle | 'absent' | 'unreadable'> {
  try {
    if ((await canonicalPath(path)) !== path) return 'unreadable';
    return await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'absent' : 'unreadable';
  }
}

async function stampOf(path: string): Promise<string> {
  const handle = await openPlain(path);
  if (typeof handle === 'string') return '';
  try {
    return stampText(await handle.stat({ bigint: true }));
  } finally {
    await handle.close();
  }
}

interface StampStats {
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  readonly size: bigint;
  readonly ino: bigint;
}

function stampText({ mtimeNs, ctimeNs, size, ino }: StampStats): string {
  return [mtimeNs, ctimeNs, size, ino].join(' ');
}
