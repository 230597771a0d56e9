/**
 * Docs that several agents generate: each made once for each state of its source, and never over one another.
 *
 * A document begins with the hash of its source. Whoever finds there the hash that the source has now, be it after
 * waiting for somebody who has just made it, has nothing to do.
 */
import { relative, resolve } from 'node:path';
import { inspect } from 'node:util';
import {
  checkBoolean,
  checkChoice,
  checkFields,
  checkInteger,
  checkNumber,
  checkSignal,
  refuse,
} from '../arguments.js';
import { StompError } from '../errors.js';
import { deniedPath, isWithin } from '../paths.js';
import type { Storage } from '../storage/storage.js';
import { type DocgenRecord, DocgenRing, type DocgenStatus } from './docgen-ring.js';
import {
  type DocgenLimits,
  type DocgenMake,
  DocgenRun,
  type DocgenTask,
  type Verdict,
} from './docgen-run.js';
import { type FileCall, FileGuard } from './files.js';
import { checkOwner } from './lock-manager.js';
import { Maasl } from './maasl.js';
import { busyWithItself, Turns } from './turns.js';

/** Limits of a docgen guard. */
export interface DocgenOptions {
  /** How often it is tried while the source keeps changing, and as often while others change the document. @default 3 */
  maxAttempts?: number;
  /** Larger sources are skipped; at most as large as the file guard reads. @default 1 MiB */
  maxSourceBytes?: number;
  /** How many calls `status` tells of. @default 100 */
  capacity?: number;
}

/** Which document is to be made, and of what. */
export interface DocgenRequest {
  /** The folder of the repository. */
  repo: string;
  /**
   * What locks call the repository, instead of its path: for one that several machines share under different paths.
   * All who use it must give the same.
   */
  repoName?: string;
  /** What the document is made of; relative to the repository. */
  source: string;
  /** The document; relative to the repository, and in it. Folders that it needs are made. */
  target: string;
  /** Replaces a file that was not generated. @default false */
  overwrite?: boolean;
}

/** What became of a call. */
export interface DocgenResult {
  /** `noop`: the document is that of this source already. `skipped`: `reason` says why. */
  status: Exclude<DocgenStatus, 'error'>;
  /** For people; of `skipped` only. */
  reason: string | undefined;
  /** The document, as an absolute path without links. */
  file: string;
  /** What it is made of, as an absolute path without links. */
  source: string;
  /** Of the source's bytes, lower-case hex; undefined when it is too large to be read. */
  sha256: string | undefined;
  /** How often a document was made. */
  attempts: number;
  /** Under which it was done; undefined when the guard is switched off. */
  token: bigint | undefined;
}

/** Of one call, what its record needs. */
interface Job {
  readonly task: DocgenTask;
  readonly run: DocgenRun;
  /** What is locked, without the prefix of its class. */
  readonly identifier: string;
  readonly key: string;
  readonly beganAt: number;
}

const optionFields = ['maxAttempts', 'maxSourceBytes', 'capacity'];
const requestFields = ['repo', 'repoName', 'source', 'target', 'overwrite'];
const callFields = ['mode', 'agentId', 'sessionId', 'maxWaitMs', 'ttlMs', 'token', 'signal'];
const resourceClassName = 'IDEMP_DOCS';
const longestWaitMs = 24 * 3600 * 1000;
const maxReasonLength = 500;

/** Makes documents from sources, each once for each state of its source, whoever asks. */
export class DocgenGuard {
  readonly #maasl: Maasl;
  readonly #files: FileGuard;
  readonly #limits: DocgenLimits;
  readonly #ring: DocgenRing;
  readonly #turns = new Turns();

  private constructor(maasl: Maasl, files: FileGuard, limits: DocgenLimits, ring: DocgenRing) {
    this.#maasl = maasl;
    this.#files = files;
    this.#limits = limits;
    this.#ring = ring;
  }

  /**
   * @param files says where sources and documents may be, and reads and writes them
   * @throws StompError CONFIG_INVALID without a database, DB_BUSY, INVALID_REQUEST, UNSUPPORTED_FIELD
   */
  static async open(maasl: Maasl, files: FileGuard, options: DocgenOptions = {}): Promise<DocgenGuard> {
    if (!(maasl instanceof Maasl)) refuse('maasl', maasl, 'a Maasl');
    if (!(files instanceof FileGuard)) refuse('files', files, 'a FileGuard');
    checkFields('options', options, optionFields);
    const maxAttempts = checkInteger('maxAttempts', options.maxAttempts, 3, { min: 1, max: 100 });
    const maxSourceBytes = checkInteger('maxSourceBytes', options.maxSourceBytes, 1 << 20, {
      min: 1,
      max: 2 ** 31,
    });
    const capacity = checkInteger('capacity', options.capacity, 100, { min: 1, max: 100_000 });
    maasl.fences; // refuses at once what every call would
    const ring = await DocgenRing.open(maasl.storage as Storage, capacity);
    return new DocgenGuard(maasl, files, { maxAttempts, maxSourceBytes }, ring);
  }

  /**
   * Makes the document, unless it is that of this source already. Calls for one document follow one another, in this
   * process and over all of them. Every call is recorded once its arguments are found right.
   * @throws whatever `make` throws, as it is; StompError
   *   RESOURCE_BUSY when another call is at the document for longer than the caller waits,
   *   DOCGEN_STALE when the source changes faster than docs are made of it,
   *   FENCED or LEASE_LOST when the lease has ended before the document was in place: it is as it was,
   *   STALE_VERSION when others keep changing the document, CANCELLED,
   *   PATH_DENIED outside of the roots, NOT_FOUND without a source, PAYLOAD_TOO_LARGE for the document,
   *   INVALID_REQUEST for a binary source, a target that is a folder, or what is no text from `make`
   */
  async generate(request: DocgenRequest, make: DocgenMake, call: FileCall): Promise<DocgenResult> {
    const job = await this.#job(request, make, call);
    try {
      return await this.#inTurn(job);
    } catch (error) {
      await this.#record(job, { status: 'error', reason: reasonOf(error) });
      throw error;
    }
  }

  /**
   * The last calls, of every process that uses the database; newest last.
   * @throws StompError DB_BUSY
   */
  status(): Promise<DocgenRecord[]> {
    return this.#ring.last();
  }

  // ---- below ----

  async #job(request: DocgenRequest, make: DocgenMake, call: FileCall): Promise<Job> {
    checkFields('request', request, requestFields);
    if (typeof make !== 'function') refuse('make', make, 'a function');
    checkCall(call);
    const overwrite = checkBoolean('overwrite', request.overwrite, false);
    const named = checkRepoName(request.repoName);
    const repo = await this.#files.locate(request.repo);
    const source = await this.#files.locate(resolve(repo, checkPath('source', request.source)));
    const file = await this.#files.locate(resolve(repo, checkPath('target', request.target)));
    if (file === repo || !isWithin(file, repo)) throw deniedPath(file, `it is not in the repository ${repo}`);
    if (file === source) refuse('target', request.target, 'another file than the source');
    // Its whole path, so that it has one lock also where one repository lies in another.
    const identifier = named === undefined ? file : `${named}/${relative(repo, file)}`;
    const task = { file, source, overwrite, make, call };
    return {
      task,
      run: new DocgenRun(this.#maasl, this.#files, task, this.#limits),
      identifier,
      key: this.#maasl.policy.keyOf(this.#maasl.policy.get(resourceClassName), identifier),
      beganAt: performance.now(),
    };
  }

  /** One deadline for its turn and the lock. */
  async #inTurn(job: Job): Promise<DocgenResult> {
    const { policy } = this.#maasl;
    const { agentId, sessionId, mode, maxWaitMs, signal } = job.task.call;
    const patienceMs = maxWaitMs ?? policy.maxWaitMs(policy.get(resourceClassName), mode ?? 'interactive');
    if (!policy.enabled) return this.#locked(job, patienceMs);
    const ended = await this.#turns.run(
      JSON.stringify([job.key, agentId, sessionId]),
      (leftMs) => this.#locked(job, leftMs),
      { maxWaitMs: patienceMs, signal },
    );
    if (ended === 'late') throw busyWithItself(job.key, job.task.call, patienceMs);
    return ended.result;
  }

  #locked(job: Job, maxWaitMs: number): Promise<DocgenResult> {
    const { run, task, identifier } = job;
    return this.#maasl.callWithStompGuard(
      async (guard) => {
        const verdict = await run.run(guard);
        // The document is in place, or there was nothing to do: to lose the lease spoils nothing any more.
        guard.committed();
        // Before the next one has the lock, so that records follow one another as the calls did.
        await this.#record(job, verdict);
        const [token] = guard.tokens.values();
        return {
          status: verdict.status,
          reason: verdict.reason,
          file: task.file,
          source: task.source,
          sha256: run.sha256,
          attempts: run.attempts,
          token,
        };
      },
      [{ resourceClass: resourceClassName, identifier }],
      { ...task.call, maxWaitMs, intent: 'generate_docs' },
    );
  }

  /** A call is not failed for its record: that it could not be kept is told with the event. */
  async #record(
    { task, run, key, beganAt }: Job,
    { status, reason }: Verdict | { status: 'error'; reason: string },
  ): Promise<void> {
    const record: DocgenRecord = {
      file: task.file,
      source: task.source,
      status,
      ...(reason === undefined ? {} : { reason }),
      sha256: run.sha256 ?? null,
      agent_id: task.call.agentId,
      session_id: task.call.sessionId,
      duration_ms: Math.round(performance.now() - beganAt),
      attempts: run.attempts,
      timestamp: Date.now(),
    };
    const failure = await this.#ring.add(record).then(() => undefined, reasonOf);
    this.#maasl.telemetry.emit({
      event: 'docgen',
      resource_key: key,
      ...record,
      ...(failure === undefined ? {} : { record_failure: failure }),
    });
  }
}

/** What the lock and the files refuse later is refused here, before anything is done in its name. */
function checkCall(call: FileCall): void {
  checkFields('call', call, callFields);
  checkOwner(call);
  checkChoice('mode', call.mode, 'interactive', ['interactive', 'batch'] as const);
  checkNumber('maxWaitMs', call.maxWaitMs, 0, { min: 0, max: longestWaitMs });
  checkSignal('signal', call.signal);
}

function checkPath(field: string, path: unknown): string {
  return typeof path === 'string' && path !== '' ? path : refuse(field, path, 'the path of a file');
}

function checkRepoName(name: unknown): string | undefined {
  if (name === undefined) return undefined;
  const fits = typeof name === 'string' && /^[^/\0]{1,200}$/.test(name);
  return fits ? name : refuse('repoName', name, 'a name of up to 200 characters without slashes');
}

/** For people; a database may not take every character. */
function reasonOf(error: unknown): string {
  const code = error instanceof StompError ? error.code : error instanceof Error ? error.name : 'thrown';
  const message = error instanceof Error ? error.message : inspect(error);
  return `${code}: ${message}`.replaceAll('\0', '').slice(0, maxReasonLength);
}
