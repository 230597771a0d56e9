/**
 * The progress logs of projects: written by many agents of many processes at once, each entry once as a row and once
 * as a line. The rows are the truth; the file is brought to them by whoever writes next.
 */
import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { checkFields, checkInteger, checkSignal, refuse } from '../arguments.js';
import { StompError } from '../errors.js';
import type { Maasl, StompGuard } from '../guard/index.js';
import { canonicalPath, deniedPath, isWithin } from '../paths.js';
import type { Storage } from '../storage/storage.js';
import type { Entry } from './entry.js';
import { deleteEntries } from './entry-rows.js';
import { unwritable } from './log-aside.js';
import { type AuditReport, auditLog, type Snapshot, snapshotOf } from './log-audit.js';
import { storeBatch, type Writer } from './log-batch.js';
import { LogQueue, type QueuedCall, type StoredCalls, type Turn } from './log-queue.js';
import { repairLog } from './log-repair.js';
import { acceptance, archivesOf } from './log-rows.js';
import { LogWriter, type Repairs } from './log-writer.js';
import { checkName } from './meta.js';
import type { NewEntry } from './new-entry.js';
import { contextMigrations } from './schema.js';
import type { Project } from './types.js';

export interface ProgressLogOptions {
  /** Over the database in which the entries are kept. */
  readonly maasl: Maasl;
  /** Folders that no link may lead a log out of; none: anywhere. */
  readonly roots?: readonly string[];
  /** A file that has grown to this is closed, and a new one begun. @default 8 MiB */
  readonly rotateBytes?: number;
  /** How long a call waits for others who write the same log. @default 15,000 */
  readonly maxWaitMs?: number;
  /** How long others wait for a process that was killed while it wrote. @default 5,000 */
  readonly leaseTtlMs?: number;
  /** Milliseconds since 1970. @default the machine's */
  readonly now?: () => number;
}

/** What became of entries. */
export interface AppendResult {
  /** One for each item, in their order, as they are stored. */
  readonly entries: readonly Entry[];
  /** Ids of those that were there before, with the same content: they are not written again. */
  readonly duplicates: readonly string[];
  readonly log: LogOutcome;
}

/** Whether the lines are in the file, on disk. */
export interface LogOutcome {
  readonly path: string;
  readonly written: boolean;
  /** Why not. The entries are stored, and come into the file with the next ones. */
  readonly error?: { readonly code: string; readonly message: string };
}

const optionFields = ['maasl', 'roots', 'rotateBytes', 'maxWaitMs', 'leaseTtlMs', 'now'];
const resourceClass = 'CRIT_CODE';
const leastRotateBytes = 1024;
const mostRotateBytes = 1 << 30;
const longestMs = 24 * 3600 * 1000;
const maxAgentBytes = 256;
const writerFields = ['agentId', 'sessionId', 'signal', 'within'];
const lostCodes = ['FENCED', 'LEASE_LOST'];

export class ProgressLog {
  readonly #maasl: Maasl;
  readonly #storage: Storage;
  readonly #writer: LogWriter;
  readonly #roots: readonly string[];
  readonly #queues = new Map<string, LogQueue>();
  readonly #now: () => number;
  readonly #maxWaitMs: number;
  readonly #leaseTtlMs: number;
  readonly #name = randomUUID();
  #leases = 0;
  #closed = false;

  private constructor(options: ProgressLogOptions, storage: Storage) {
    const { maasl, now = Date.now } = options;
    if (typeof now !== 'function') refuse('now', now, 'a function');
    this.#maasl = maasl;
    this.#now = now;
    this.#storage = storage;
    this.#roots = options.roots ?? [];
    this.#maxWaitMs = checkInteger('maxWaitMs', options.maxWaitMs, 15_000, { min: 0, max: longestMs });
    this.#leaseTtlMs = checkInteger('leaseTtlMs', options.leaseTtlMs, 5000, { min: 100, max: longestMs });
    const range = { min: leastRotateBytes, max: mostRotateBytes };
    const rotateBytes = checkInteger('rotateBytes', options.rotateBytes, 8 << 20, range);
    this.#writer = new LogWriter({ storage, fences: maasl.fences, rotateBytes, now });
  }

  /** @throws StompError INVALID_REQUEST, CONFIG_INVALID without a database, DB_BUSY */
  static async open(options: ProgressLogOptions): Promise<ProgressLog> {
    checkFields('options', options, optionFields);
    const { storage } = options.maasl;
    if (!storage) {
      throw new StompError(
        'CONFIG_INVALID',
        'Entries outlive this process: name a database to keep them in.',
        {
          fields: { setting: 'database' },
        },
      );
    }
    await storage.migrate(contextMigrations);
    return new ProgressLog(options, storage);
  }

  /**
   * Stores entries, all or none, and writes them into the project's file. Calls that wait for one file go together.
   * @throws StompError ENTRY_EXISTS, RESOURCE_BUSY, CANCELLED, DB_BUSY, SHUTTING_DOWN, and whatever `within` throws:
   *   then nothing of this call is stored.
   */
  async append(project: Project, items: readonly NewEntry[], who: Writer): Promise<AppendResult> {
    checkWriter(who);
    if (!Array.isArray(items) || items.length === 0) refuse('items', items, 'at least one entry');
    if (this.#closed) throw new StompError('SHUTTING_DOWN', 'The progress log is closed.');
    // A project may have another folder or file after a while.
    const key = JSON.stringify([project.name, project.root, project.progress_log_path]);
    const queue = this.#queues.get(key) ?? new LogQueue((turn) => this.#runTurn(project, turn));
    this.#queues.set(key, queue);
    return queue.add({ items, who });
  }

  /**
   * Brings the file to what is stored.
   * @returns what was found undone or damaged and what was done about it, in sentences
   * @throws StompError LOG_UNWRITABLE, LOG_CORRUPT, RESOURCE_BUSY, FENCED, DB_BUSY
   */
  async recover(project: Project): Promise<{ path: string; repairs: Repairs }> {
    const path = project.progress_log_path;
    const call = { intent: 'recover_log', agentId: 'stomp-serve' };
    try {
      const repairs = await this.#guarded(path, call, (guard) => this.#writer.bring(project, guard));
      return { path, repairs };
    } catch (error) {
      throw unwritable(error, project);
    }
  }

  /**
   * As `recover`, and also makes those files anew from the rows in which entries are missing or were changed. What was
   * in their place is set aside. Where the rows themselves were changed, the files are left as they are.
   * @throws StompError as `recover`
   */
  async repair(project: Project): Promise<{ path: string; repairs: Repairs }> {
    const path = project.progress_log_path;
    const call = { intent: 'repair_log', agentId: 'stomp-serve' };
    try {
      const parts = { storage: this.#storage, writer: this.#writer, now: this.#now };
      return { path, repairs: await this.#guarded(path, call, (guard) => repairLog(parts, project, guard)) };
    } catch (error) {
      throw unwritable(error, project);
    }
  }

  /**
   * Compares every line of the project's files with the rows; changes nothing.
   * @throws StompError RESOURCE_BUSY, DB_BUSY, LOG_UNWRITABLE for a path that cannot even be looked up
   */
  async audit(project: Project): Promise<AuditReport> {
    const call = { intent: 'audit_log', agentId: 'stomp-serve' };
    let snapshot: Snapshot;
    try {
      snapshot = await this.#guarded(project.progress_log_path, call, () =>
        snapshotOf(this.#storage, project),
      );
    } catch (error) {
      throw unwritable(error, project);
    }
    return auditLog(this.#storage, project, snapshot);
  }

  /**
   * Removes all entries of the project, and its files.
   * @param then runs before anybody else can write into the log
   * @throws StompError LOG_UNWRITABLE when a file cannot be removed: the entries are gone by then; RESOURCE_BUSY,
   *   DB_BUSY, and whatever `then` throws
   */
  async purge<T>(project: Project, then: () => Promise<T>): Promise<T> {
    const path = project.progress_log_path;
    const call = { intent: 'purge_log', agentId: 'stomp-serve' };
    try {
      return await this.#guarded(path, call, async (guard) => {
        const archives = await this.#storage.read(() => archivesOf(project.name));
        const { fences } = this.#maasl;
        await this.#storage.write(function* () {
          yield* acceptance(fences, guard.tokens);
          yield* deleteEntries(project.name);
        });
        guard.committed();
        for (const file of [path, ...archives.map((archive) => archive.path)])
          await rm(file, { force: true });
        return then();
      });
    } catch (error) {
      throw unwritable(error, project);
    }
  }

  /** Waits for what is being written; afterwards nothing is. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#queues.values()].map((queue) => queue.working));
  }

  /** As `close`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Takes the lease, then whoever waits by then. */
  async #runTurn(project: Project, { agentId, signal, take }: Turn): Promise<void> {
    const path = project.progress_log_path;
    const call = { intent: 'append_entry', agentId, signal };
    let late: StoredCalls | undefined;
    try {
      await this.#guarded(path, call, async (guard) => {
        late = await this.#store(project, take(), guard);
      });
    } catch (error) {
      if (!isPathDenied(error)) throw error;
      // Where the file cannot even be named there is nothing to be guarded but the rows.
      await this.#store(project, take(), undefined, stompError(unwritable(error, project)));
    }
    // Whoever has the lease now may have written them already, or is at it.
    if (late?.size) settle(late, path, await this.recover(project).then(() => undefined, stompError));
  }

  /** @returns calls whose entries are stored, and not yet in the file because the lease was lost between. */
  async #store(
    project: Project,
    calls: readonly QueuedCall[],
    guard: StompGuard | undefined,
    refusal?: StompError,
  ): Promise<StoredCalls> {
    const tokens = guard?.tokens ?? new Map<string, bigint>();
    const { stored, failed, state } = await storeBatch({
      storage: this.#storage,
      project: project.name,
      token: String([...tokens.values()][0] ?? 0),
      accept: () => acceptance(this.#maasl.fences, tokens),
      calls,
    });
    guard?.committed();
    for (const [call, error] of failed) call.reject(error);
    if (!state) return new Map();
    const error = guard
      ? await this.#writer.bring(project, guard, state).then(() => undefined, stompError)
      : refusal;
    if (error && lostCodes.includes(error.code)) return stored;
    settle(stored, project.progress_log_path, error);
    return new Map();
  }

  /** Each time as somebody else: not even one agent may be at the file twice. */
  async #guarded<T>(
    path: string,
    call: { intent: string; agentId: string; signal?: AbortSignal },
    op: (guard: StompGuard) => Promise<T>,
  ): Promise<T> {
    await this.#checkPlace(path);
    return this.#maasl.callWithStompGuard(op, [{ resourceClass, identifier: path }], {
      ...call,
      sessionId: `progress-log-${this.#name}-${++this.#leases}`,
      maxWaitMs: this.#maxWaitMs,
      ttlMs: this.#leaseTtlMs,
    });
  }

  /** A folder on the way may have become a link since the project was made. */
  async #checkPlace(path: string): Promise<void> {
    if (this.#roots.length === 0) return;
    const canonical = await canonicalPath(path);
    if (canonical === path || this.#roots.some((root) => isWithin(canonical, root))) return;
    throw deniedPath(path, `a link leads it out of ${this.#roots.join(', ')}`);
  }
}

function settle(calls: StoredCalls, path: string, error: StompError | undefined): void {
  const log = error
    ? { path, written: false, error: { code: error.code, message: error.message } }
    : { path, written: true };
  for (const [call, stored] of calls) call.resolve({ ...stored, log });
}

function stompError(error: unknown): StompError {
  if (error instanceof StompError) return error;
  return new StompError('INTERNAL_ERROR', `The log could not be written: ${String(error)}.`, {
    cause: error,
  });
}

function isPathDenied(error: unknown): boolean {
  return error instanceof StompError && error.code === 'PATH_DENIED';
}

function checkWriter(who: Writer): void {
  checkFields('who', who, writerFields);
  const { agentId, sessionId, within } = who;
  checkName('agentId', agentId, maxAgentBytes);
  if (sessionId !== null) checkName('sessionId', sessionId, maxAgentBytes);
  checkSignal('signal', who.signal);
  if (within !== undefined && typeof within !== 'function') refuse('within', within, 'a function');
}
