/**
 * The work on one document while its lock is held.
 *
 * Making takes long. So before the document goes in place the source is hashed anew, the fence is asked, and the file
 * that it replaces must still be the one that was looked at: a holder that has lost its lease, wherever it was
 * stopped, replaces nothing that a later one has written.
 */
import { dirname } from 'node:path';
import { refuse } from '../arguments.js';
import { StompError } from '../errors.js';
import { documentOf, hashIn, sourceText } from './docgen-text.js';
import { DocgenStaleError, FencedError, StaleVersionError } from './errors.js';
import type { FileCall, FileGuard } from './files.js';
import type { Maasl } from './maasl.js';
import type { StompGuard } from './stomp-guard.js';

/**
 * Makes the document of a source. It may be called again when the source changes meanwhile.
 * @returns the document without the header
 */
export type DocgenMake = (sourceText: string, context: DocgenContext) => Promise<string> | string;

/** What a document is made for. */
export interface DocgenContext {
  /** Of the source's bytes, lower-case hex. */
  sha256: string;
  /** Aborts when the call is cancelled or the lease is lost: the document would not be written. */
  signal: AbortSignal;
}

export interface DocgenTask {
  /** The document, canonical. */
  readonly file: string;
  /** What it is made of, canonical. */
  readonly source: string;
  /** Replaces a file that was not generated. */
  readonly overwrite: boolean;
  readonly make: DocgenMake;
  readonly call: FileCall;
}

export interface DocgenLimits {
  readonly maxAttempts: number;
  readonly maxSourceBytes: number;
}

/** How it went, unless it failed. */
export interface Verdict {
  readonly status: 'generated' | 'noop' | 'skipped';
  readonly reason?: string;
}

interface Source {
  /** Undefined when it is too large to be read. */
  readonly sha256: string | undefined;
  readonly text: string;
  /** Why there is nothing to make of it. */
  readonly skip?: string;
}

interface Target {
  readonly sha256: string;
  readonly sourceHash: string | undefined;
}

export class DocgenRun {
  /** How often a document was made. */
  attempts = 0;
  /** Of the source as it was last looked at. */
  sha256: string | undefined;
  readonly #maasl: Maasl;
  readonly #files: FileGuard;
  readonly #task: DocgenTask;
  readonly #limits: DocgenLimits;
  readonly #call: FileCall;
  #made: { readonly sha256: string; readonly text: string } | undefined;

  constructor(maasl: Maasl, files: FileGuard, task: DocgenTask, limits: DocgenLimits) {
    // The token and the time to live are those of the document's lease, not of the files.
    const { token: _token, ttlMs: _ttlMs, ...call } = task.call;
    this.#maasl = maasl;
    this.#files = files;
    this.#task = task;
    this.#limits = limits;
    this.#call = call;
  }

  /**
   * @throws whatever making it throws; StompError DOCGEN_STALE, FENCED, LEASE_LOST, CANCELLED, INVALID_REQUEST, and
   *   what the file guard refuses with
   */
  async run(guard: StompGuard): Promise<Verdict> {
    const { maxAttempts } = this.#limits;
    const changes: string[] = [];
    while (true) {
      const source = await this.#readSource();
      const target = await this.#readTarget();
      this.sha256 = source.sha256;
      const verdict = this.#settled(source, target);
      if (verdict) return verdict;
      const text = await this.#textOf(source, guard);
      const changed = await this.#land(text, source, target, guard);
      if (!changed) return { status: 'generated' };
      changes.push(changed.code);
      if (changes.filter((code) => code === changed.code).length >= maxAttempts) throw changed;
    }
  }

  /** What was made is not given up for a moment's wait for a file. */
  #fileCall(): FileCall {
    if (!this.#made) return this.#call;
    const { policy } = this.#maasl;
    const patienceMs = policy.maxWaitMs(policy.get('CRIT_CODE'), 'batch');
    return { ...this.#call, maxWaitMs: Math.max(this.#call.maxWaitMs ?? 0, patienceMs) };
  }

  async #readSource(): Promise<Source> {
    const { source } = this.#task;
    const { maxSourceBytes } = this.#limits;
    try {
      const { content, sha256, bytes } = await this.#files.read(
        source,
        { encoding: 'base64' },
        this.#fileCall(),
      );
      if (bytes > maxSourceBytes) return { sha256, text: '', skip: tooLarge(bytes, maxSourceBytes) };
      const text = sourceText(Buffer.from(content, 'base64'), source);
      // To `trim`, a byte order mark is white space.
      return text.trim() === '' ? { sha256, text, skip: 'the source is empty' } : { sha256, text };
    } catch (error) {
      if (!(error instanceof StompError && error.code === 'PAYLOAD_TOO_LARGE')) throw error;
      const { bytes, max_bytes } = error.fields;
      return { sha256: undefined, text: '', skip: tooLarge(Number(bytes), Number(max_bytes)) };
    }
  }

  async #readTarget(): Promise<Target | undefined> {
    try {
      const found = await this.#files.read(this.#task.file, { encoding: 'base64' }, this.#fileCall());
      return { sha256: found.sha256, sourceHash: hashIn(Buffer.from(found.content, 'base64')) };
    } catch (error) {
      if (error instanceof StompError && error.code === 'NOT_FOUND') return undefined;
      throw error;
    }
  }

  /** What is to be said without making anything. */
  #settled(source: Source, target: Target | undefined): Verdict | undefined {
    if (source.skip !== undefined) return { status: 'skipped', reason: source.skip };
    if (!target) return undefined;
    if (target.sourceHash === source.sha256) return { status: 'noop' };
    if (target.sourceHash !== undefined || this.#task.overwrite) return undefined;
    return {
      status: 'skipped',
      reason: 'the target was not generated, for it has no hash header; give overwrite to replace it',
    };
  }

  async #textOf({ sha256 = '', text }: Source, guard: StompGuard): Promise<string> {
    // It was the target that has changed.
    if (this.#made?.sha256 === sha256) return this.#made.text;
    this.attempts++;
    const made = await this.#make(text, sha256, guard);
    if (typeof made !== 'string' || made.trim() === '')
      refuse('make', made, 'a function that returns a text');
    this.#made = { sha256, text: made };
    return made;
  }

  async #make(text: string, sha256: string, guard: StompGuard): Promise<string> {
    const { make, call } = this.#task;
    const signal = AbortSignal.any(call.signal ? [call.signal, guard.signal] : [guard.signal]);
    const stopped = () => (guard.signal.aborted ? guard.signal.reason : cancelled(call.signal?.reason));
    if (signal.aborted) throw stopped();
    return unlessAborted(async () => make(text, { sha256, signal }), signal, stopped);
  }

  /** @returns what has changed meanwhile, when it is not put in place for that: to begin anew may help. */
  async #land(
    text: string,
    source: Source,
    target: Target | undefined,
    guard: StompGuard,
  ): Promise<StompError | undefined> {
    const { file } = this.#task;
    const { sha256 = '' } = source;
    const now = await this.#readSource();
    if (now.sha256 !== sha256) return staleError(file, sha256, now.sha256);
    await this.#accept(guard);
    if (!target) await this.#files.mkdir(dirname(file), this.#fileCall());
    try {
      const expectedSha256 = target?.sha256 ?? null;
      await this.#files.write(file, documentOf(sha256, text), { expectedSha256 }, this.#fileCall());
      return undefined;
    } catch (error) {
      if (error instanceof StaleVersionError) return error;
      throw error;
    }
  }

  async #accept(guard: StompGuard): Promise<void> {
    try {
      await this.#maasl.fences.accept(guard.tokens);
    } catch (error) {
      if (error instanceof FencedError) this.#maasl.telemetry.fenced(guard, error);
      throw error;
    }
  }
}

function tooLarge(bytes: number, maxBytes: number): string {
  return `the source has ${bytes} bytes; docs are made of at most ${maxBytes}`;
}

function staleError(file: string, expected: string, got: string | undefined): StompError {
  return new DocgenStaleError(
    `The source of ${file} changes faster than docs are made of it. Try again when it rests.`,
    { fields: { file, expected_hash: expected, got_hash: got ?? null } },
  );
}

function cancelled(cause: unknown): StompError {
  return new StompError('CANCELLED', 'The making of the document was cancelled.', { cause });
}

/** What the work gives, or, however long it goes on, an error as soon as the signal aborts. */
function unlessAborted<T>(work: () => Promise<T>, signal: AbortSignal, stopped: () => unknown): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(stopped());
    signal.addEventListener('abort', abort, { once: true });
    void work()
      .then(resolve, reject)
      .finally(() => signal.removeEventListener('abort', abort));
  });
}
