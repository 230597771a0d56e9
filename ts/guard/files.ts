/**
 * Files that several agents change: one at a time, each change whole or not at all, nothing from a holder that has
 * lost its lease.
 *
 * A change is written beside the file, and takes its place by a rename. Between the last look at the lease and the
 * rename a process may be stopped for any time. So the new file is noted with its token before that look, and whoever
 * takes the key over removes it first: the late rename then finds nothing. What is removed goes, the same way,
 * into a folder that is noted. A move has nothing to note: between the look and the rename of a move, which follows at
 * once, a process that is stopped for longer than its lease may still move what others have changed.
 */
import { randomBytes } from 'node:crypto';
import { constants, renameSync } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { checkBoolean, checkChoice, checkFields, checkInteger, refuse } from '../arguments.js';
import { StompError } from '../errors.js';
import { contentOf, editedText, sha256, textOf } from '../file-text.js';
import { canonicalPath, deniedPath, isWithin } from '../paths.js';
import { StaleVersionError } from './errors.js';
import { fencedError } from './fences.js';
import { existing, fileError, notEmpty, statIfAny, syncFolder, taken, writeDurably } from './file-system.js';
import type { Maasl, StompGuardOptions } from './maasl.js';
import type { ResourceDescriptor } from './resources.js';
import type { StompGuard } from './stomp-guard.js';
import { busyWithItself, Turns } from './turns.js';

/** What a file guard may touch. */
export interface FileGuardOptions {
  /** Folders in which files may be read and changed; nothing is allowed outside. */
  roots: readonly string[];
  /** Files that nobody gets to see, such as those with keys, although they may lie in a root. @default none */
  denied?: readonly string[];
  /** Largest file to read or to write. @default 10 MiB */
  maxFileBytes?: number;
}

/** Whose call it is and how patient it is; `intent` is set by the operation. */
export type FileCall = Omit<StompGuardOptions, 'intent' | 'idempotencyKey'>;

/** A file as it was read. */
export interface ReadResult {
  path: string;
  content: string;
  encoding: 'utf8' | 'base64';
  /** Lower-case hex, of the bytes. */
  sha256: string;
  bytes: number;
}

/** What became of a change. */
export interface FileResult {
  path: string;
  /** Lower-case hex, of the file as it is now; undefined where there is none, or one too large to be read. */
  sha256: string | undefined;
  bytes: number;
  /** The token under which it was changed. */
  token: bigint | undefined;
}

/** How a file is to be written. */
export interface WriteOptions {
  /** @default 'rewrite' */
  mode?: 'rewrite' | 'append';
  encoding?: 'utf8' | 'base64';
  /** SHA-256 of the file that is to be replaced; `null`: there must be none. */
  expectedSha256?: string | null;
}

/** Which text is to be replaced by which. */
export interface EditOptions {
  oldText: string;
  newText: string;
  /** How often `oldText` occurs; any other number is refused. @default 1 */
  expectedReplacements?: number;
  expectedSha256?: string;
}

const resourceClassName = 'CRIT_CODE';
const defaultMaxBytes = 10 << 20;
const writeFields = ['mode', 'encoding', 'expectedSha256'];
const editFields = ['oldText', 'newText', 'expectedReplacements', 'expectedSha256'];

/** Reads and changes files for several agents, within its roots. */
export class FileGuard {
  readonly #maasl: Maasl;
  readonly #roots: readonly string[];
  readonly #denied: readonly string[];
  readonly #maxBytes: number;
  readonly #turns = new Turns();

  private constructor(maasl: Maasl, roots: readonly string[], denied: readonly string[], maxBytes: number) {
    this.#maasl = maasl;
    this.#roots = roots;
    this.#denied = denied;
    this.#maxBytes = maxBytes;
  }

  /** @throws StompError CONFIG_INVALID without a database, INVALID_REQUEST */
  static async open(maasl: Maasl, options: FileGuardOptions): Promise<FileGuard> {
    checkFields('options', options, ['roots', 'denied', 'maxFileBytes']);
    if (!Array.isArray(options.roots) || options.roots.length === 0) {
      refuse('roots', options.roots, 'at least one folder');
    }
    const limit = { min: 1, max: 2 ** 31 };
    const maxBytes = checkInteger('maxFileBytes', options.maxFileBytes, defaultMaxBytes, limit);
    maasl.fences; // refuses at once what every call would
    const canonical = (paths: readonly string[]) => Promise.all(paths.map(canonicalPath));
    return new FileGuard(
      maasl,
      await canonical(options.roots),
      await canonical(options.denied ?? []),
      maxBytes,
    );
  }

  /** The folders in which files may be read and changed, without links. */
  get roots(): readonly string[] {
    return this.#roots;
  }

  /** Largest file that is read and written. */
  get maxFileBytes(): number {
    return this.#maxBytes;
  }

  /** Whether a file, whose path is canonical, is one that nobody gets to see. */
  isDenied(file: string): boolean {
    return this.#denied.some((one) => isWithin(file, one));
  }

  /**
   * Where the file is, or would be, without links.
   * @throws StompError PATH_DENIED outside of the roots, INVALID_REQUEST
   */
  locate(path: string): Promise<string> {
    return this.#allowed(path);
  }

  /**
   * Reads a file while nobody changes it.
   * @throws StompError NOT_FOUND, PATH_DENIED, PAYLOAD_TOO_LARGE, INVALID_REQUEST for a binary file read as text
   */
  async read(path: string, options: { encoding?: 'utf8' | 'base64' }, call: FileCall): Promise<ReadResult> {
    checkFields('options', options, ['encoding']);
    const encoding = checkChoice('encoding', options.encoding, 'utf8', ['utf8', 'base64'] as const);
    const file = await this.#allowed(path);
    return this.#guarded('read_file', call, [{ path: file, access: 'read' }], async () => {
      const bytes = await this.#content(file);
      const content = encoding === 'base64' ? bytes.toString('base64') : textOf(bytes, file);
      return { path: file, content, encoding, sha256: sha256(bytes), bytes: bytes.length };
    });
  }

  /** @throws StompError RESOURCE_BUSY, FENCED, STALE_VERSION, NOT_FOUND, PATH_DENIED, PAYLOAD_TOO_LARGE */
  async write(path: string, content: string, options: WriteOptions, call: FileCall): Promise<FileResult> {
    checkFields('options', options, writeFields);
    const mode = checkChoice('mode', options.mode, 'rewrite', ['rewrite', 'append'] as const);
    const added = contentOf(content, options.encoding);
    const file = await this.#allowed(path);
    return this.#guarded('write_file', call, [{ path: file }], async (guard) => {
      const wantsOld = mode === 'append' || options.expectedSha256 !== undefined;
      const old = wantsOld ? await this.#contentIfAny(file) : undefined;
      checkVersion(file, options.expectedSha256, old);
      return this.#replace(guard, file, mode === 'append' && old ? Buffer.concat([old, added]) : added);
    });
  }

  /** @throws StompError as `write`, and INVALID_REQUEST when `oldText` does not occur as often as expected. */
  async edit(
    path: string,
    options: EditOptions,
    call: FileCall,
  ): Promise<FileResult & { replacements: number }> {
    checkFields('options', options, editFields);
    const file = await this.#allowed(path);
    return this.#guarded('edit_file', call, [{ path: file }], async (guard) => {
      const old = await this.#content(file);
      checkVersion(file, options.expectedSha256, old);
      const { text, replacements } = editedText(textOf(old, file), options, file);
      return { ...(await this.#replace(guard, file, Buffer.from(text))), replacements };
    });
  }

  /** Moves a file, or a folder with all that is in it. */
  async move(
    from: string,
    to: string,
    options: { overwrite?: boolean },
    call: FileCall,
  ): Promise<FileResult> {
    checkFields('options', options, ['overwrite']);
    const overwrite = checkBoolean('overwrite', options.overwrite, false);
    const source = await this.#allowed(from, 'moved');
    const target = await this.#allowed(to, 'moved to');
    if (isWithin(target, source)) refuse('to', to, 'outside of what is moved');
    const resources = [...wholly(source), ...wholly(target)];
    return this.#guarded('move_file', call, resources, async (guard) => {
      const stats = await existing(source);
      const there = await statIfAny(target);
      if (there && (!overwrite || there.isDirectory())) throw taken(target);
      const content =
        stats.isFile() && stats.size <= this.#maxBytes ? await this.#contentIfAny(source) : undefined;
      const folders = [dirname(source), dirname(target)];
      const landed = await this.#land(guard, target, () => renameSync(source, target), folders);
      return { ...landed, sha256: content && sha256(content), bytes: stats.isFile() ? stats.size : 0 };
    });
  }

  /** Removes a file, an empty folder, or with `recursive` a folder with all that is in it. */
  async delete(
    path: string,
    options: { recursive?: boolean; expectedSha256?: string },
    call: FileCall,
  ): Promise<FileResult> {
    checkFields('options', options, ['recursive', 'expectedSha256']);
    const recursive = checkBoolean('recursive', options.recursive, false);
    const file = await this.#allowed(path, 'removed');
    return this.#guarded('delete_file', call, wholly(file), async (guard) => {
      const stats = await existing(file);
      if (options.expectedSha256 !== undefined)
        checkVersion(file, options.expectedSha256, await this.#content(file));
      if (stats.isDirectory() && !recursive && (await readdir(file)).length > 0) throw notEmpty(file);
      const bin = stagedName(file, guard);
      await mkdir(bin).catch((error: unknown) => Promise.reject(fileError(error, file)));
      try {
        const gone = () => renameSync(file, join(bin, 'removed'));
        return await this.#land(guard, file, gone, [dirname(file)], bin);
      } finally {
        await rm(bin, { recursive: true, force: true });
      }
    });
  }

  /** Makes a folder and those above it; one that is there already is no error. */
  async mkdir(path: string, call: FileCall): Promise<FileResult> {
    const folder = await this.#allowed(path);
    return this.#guarded('make_directory', call, [{ path: folder }], async (guard) => {
      const there = await statIfAny(folder);
      if (there && !there.isDirectory()) throw taken(folder);
      await this.#accept(guard, folder);
      await mkdir(folder, { recursive: true }).catch((error: unknown) =>
        Promise.reject(fileError(error, folder)),
      );
      guard.committed();
      return { path: folder, sha256: undefined, bytes: 0, token: tokenOf(guard) };
    });
  }

  // ---- below ----

  #guarded<T>(
    intent: string,
    call: FileCall,
    files: readonly { path: string; access?: 'read' | 'write' }[],
    op: (guard: StompGuard) => Promise<T>,
  ): Promise<T> {
    const resources: ResourceDescriptor[] = files.map(({ path, access = 'write' }) => ({
      resourceClass: resourceClassName,
      identifier: path,
      access,
    }));
    const changed = files.flatMap(({ path, access = 'write' }) => (access === 'write' ? [path] : []));
    const guarded = async (guard: StompGuard) => {
      // What was a plain folder may be a link by now.
      for (const { path } of files) {
        const plain = path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path;
        if ((await this.#allowed(plain)) !== plain) throw deniedPath(plain, 'a link has taken its place');
      }
      return op(guard);
    };
    return this.#maasl.callWithStompGuard(
      (guard) => this.#inTurn(changed.sort(), call, this.#patienceMs(call), () => guarded(guard)),
      resources,
      { ...call, intent },
    );
  }

  /** Calls of one session, which the lock lets in together, would overwrite what the others have changed. */
  async #inTurn<T>(
    paths: readonly string[],
    call: FileCall,
    maxWaitMs: number,
    work: () => Promise<T>,
  ): Promise<T> {
    const [path, ...others] = paths;
    if (path === undefined) return work();
    const { agentId, sessionId, signal } = call;
    const ended = await this.#turns.run(
      JSON.stringify([path, agentId, sessionId]),
      (leftMs) => this.#inTurn(others, call, leftMs, work),
      { maxWaitMs, signal },
    );
    if (ended === 'late') throw busyWithItself(this.#key(path), call, maxWaitMs);
    return ended.result;
  }

  #patienceMs({ maxWaitMs, mode = 'interactive' }: FileCall): number {
    const { policy } = this.#maasl;
    return maxWaitMs ?? policy.maxWaitMs(policy.get(resourceClassName), mode);
  }

  #key(file: string): string {
    const { policy } = this.#maasl;
    return policy.keyOf(policy.get(resourceClassName), file);
  }

  async #allowed(path: string, moved?: string): Promise<string> {
    const canonical = await canonicalPath(path);
    const root = this.#roots.find((one) => isWithin(canonical, one));
    if (!root) throw deniedPath(path, `it is outside of ${this.#roots.join(', ')}`);
    if (moved && this.#roots.includes(canonical)) throw deniedPath(path, `a root cannot be ${moved}`);
    const isTaken = moved !== undefined && this.#denied.some((one) => isWithin(one, canonical));
    if (isTaken || this.isDenied(canonical)) throw deniedPath(path, 'it is kept from agents');
    return canonical;
  }

  async #content(file: string): Promise<Buffer> {
    const found = await this.#contentIfAny(file);
    if (!found) throw new StompError('NOT_FOUND', `There is no file ${file}.`, { fields: { file } });
    return found;
  }

  async #contentIfAny(file: string): Promise<Buffer | undefined> {
    let handle: FileHandle;
    try {
      handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw fileError(error, file);
    }
    try {
      const stats = await handle.stat();
      if (!stats.isFile())
        throw new StompError('INVALID_REQUEST', `${file} is no file.`, { fields: { file } });
      this.#checkSize(file, stats.size);
      return await handle.readFile();
    } finally {
      await handle.close();
    }
  }

  #checkSize(file: string, bytes: number): void {
    if (bytes <= this.#maxBytes) return;
    const message = `${file} has ${bytes} bytes; at most ${this.#maxBytes} are read and written.`;
    throw new StompError('PAYLOAD_TOO_LARGE', message, {
      fields: { file, bytes, max_bytes: this.#maxBytes },
    });
  }

  async #replace(guard: StompGuard, file: string, bytes: Buffer): Promise<FileResult> {
    this.#checkSize(file, bytes.length);
    const old = await statIfAny(file);
    if (old && !old.isFile())
      throw new StompError('INVALID_REQUEST', `${file} is no file.`, { fields: { file } });
    const token = tokenOf(guard);
    const staged = stagedName(file, guard);
    try {
      await writeDurably(staged, bytes, old?.mode);
      await this.#land(guard, file, () => renameSync(staged, file), [dirname(file)], staged);
    } catch (error) {
      await rm(staged, { force: true });
      throw fileError(error, file);
    }
    return { path: file, sha256: sha256(bytes), bytes: bytes.length, token };
  }

  /** Asks the fence, then makes the change at once, without giving way to anything else in this process. */
  async #land(
    guard: StompGuard,
    file: string,
    change: () => void,
    folders: readonly string[],
    staged?: string,
  ): Promise<FileResult> {
    await this.#accept(guard, file, staged);
    try {
      change();
    } catch (error) {
      const gone = staged !== undefined && (error as NodeJS.ErrnoException).code === 'ENOENT';
      throw gone ? this.#fenced(guard, file) : fileError(error, file);
    }
    guard.committed();
    for (const folder of new Set(folders)) await syncFolder(folder);
    return { path: file, sha256: undefined, bytes: 0, token: tokenOf(guard) };
  }

  async #accept(guard: StompGuard, file: string, staged?: string): Promise<void> {
    try {
      await this.#maasl.fences.accept(guard.tokens, staged);
    } catch (error) {
      if (error instanceof StompError && error.code === 'FENCED') this.#maasl.telemetry.fenced(guard, error);
      throw error;
    }
    if (!guard.held) throw this.#fenced(guard, file);
  }

  #fenced(guard: StompGuard, file: string): StompError {
    const token = tokenOf(guard) ?? 0n;
    const error = fencedError(this.#key(file), token, token);
    this.#maasl.telemetry.fenced(guard, error);
    return error;
  }
}

/** The path itself and, should it be a folder, all that is in it. */
function wholly(path: string): { path: string }[] {
  return [{ path }, { path: `${path}/` }];
}

/** Of a change of several resources the highest, under which all of it was made. */
function tokenOf({ tokens }: StompGuard): bigint | undefined {
  return [...tokens.values()].reduce<bigint | undefined>(
    (a, b) => (a === undefined || b > a ? b : a),
    undefined,
  );
}

function checkVersion(file: string, expected: string | null | undefined, current: Buffer | undefined): void {
  if (expected === undefined) return;
  const now = current ? sha256(current) : null;
  if (now === (expected?.toLowerCase() ?? null)) return;
  const state = now === null ? 'is not there' : `has changed: its SHA-256 is ${now}`;
  throw new StaleVersionError(`${file} ${state}. Read it again and repeat the change.`, {
    fields: { file, expected_version: expected, current_version: now },
  });
}

// File systems allow names of 255 bytes; a character is four at most.
const maxNamePart = 50;

/** Beside the file, so that a rename is enough. */
function stagedName(file: string, guard: StompGuard): string {
  const unique = `${tokenOf(guard) ?? 0}-${randomBytes(6).toString('hex')}`;
  const name = [...basename(file)].slice(0, maxNamePart).join('');
  return join(dirname(file), `.${name}.${unique}.stomp`);
}
