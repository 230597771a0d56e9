/** Agents announce which symbols they will touch, and see who else has. Nothing here keeps anybody from an edit. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { checkBoolean, checkFields, refuse } from '../arguments.js';
import { StompError } from '../errors.js';
import type { Storage } from '../storage/storage.js';
import { type Activity, activeAt, activityOf, isActive } from './activity.js';
import type {
  CodeCall,
  ImpactQuestion,
  MergeAnswer,
  MergeQuestion,
  ReconcileQuestion,
  ShardQuestion,
  WithWarnings,
} from './code/code.js';
import { CodeThread } from './code/code-thread.js';
import { Repository } from './git/repository.js';
import { conflictError, type Holding, holdingsOf } from './holdings.js';
import type { Impact } from './impact.js';
import { type ReservationGuard, ReservationLeases, tokensOf } from './leases.js';
import type { Reconciliation } from './merge/reconcile.js';
import type { RecordStore } from './records/store.js';
import {
  type AwaitRequest,
  checkAge,
  checkAwait,
  checkCall,
  checkForecast,
  checkImpact,
  checkIntent,
  checkMerge,
  checkReconcile,
  checkRelease,
  checkRenew,
  checkReserve,
  checkShard,
  type ForecastRequest,
  type IntentRequest,
  type ReleaseRequest,
  type RenewRequest,
  type ReserveRequest,
} from './requests.js';
import type { Shards } from './shard.js';
import type { Conflict, Forecast, Intent, Reservation, Warning } from './types.js';

/** Of which repository, and where its records are kept. */
export interface ReservationsOptions {
  /**
   * In a working tree of the repository, or a bare one. Records lie in `.muse/coordination` at its root, which all
   * working trees of a clone share, unless they are kept elsewhere. Without it nothing can be said of the code.
   */
  readonly folder?: string | undefined;
  /** A file for SQLite, `postgres://…`, or a storage that the caller closes: for records that machines share. */
  readonly database?: string | Storage | undefined;
  /** Name of the repository in the database. */
  readonly name?: string | undefined;
  /** Instead of both; closed with this. */
  readonly store?: RecordStore | undefined;
  /** A `Maasl`, for reservations that also lock. */
  readonly guard?: ReservationGuard | undefined;
  /** For tests. @default the time of this machine */
  readonly now?: (() => Date) | undefined;
}

/** What became of a request. */
export interface Reserved {
  readonly reservation: Reservation;
  /** What other agents had of it already; the first thousand. */
  readonly held: readonly Holding[];
  /** What will clash with it; where that was asked for. */
  readonly conflicts?: readonly Conflict[];
  readonly warnings: readonly Warning[];
}

/** A reservation as it is after a change. */
export interface Amended {
  readonly reservation: Reservation;
  readonly warnings: readonly Warning[];
}

// Files against all of their symbols, for many agents, would be millions.
const mostHeldTold = 1000;
// So long an expiry is waited for at once; timers take no more than 24 days.
const longestPauseMs = 3600_000;

/** The reservations of one repository. */
export class Reservations {
  readonly #store: RecordStore;
  readonly #leases: ReservationLeases;
  readonly #now: () => Date;
  readonly #folder: string | undefined;
  readonly #code: CodeThread | undefined;

  private constructor(store: RecordStore, leases: ReservationLeases, now: () => Date, folder?: string) {
    this.#store = store;
    this.#leases = leases;
    this.#now = now;
    this.#folder = folder;
    this.#code = folder === undefined ? undefined : new CodeThread(folder);
  }

  /**
   * @throws StompError NOT_A_REPOSITORY, GIT_FAILED, PATH_DENIED, CONFIG_INVALID, DB_BUSY, INVALID_REQUEST,
   *   UNSUPPORTED_FIELD
   */
  static async open(options: ReservationsOptions): Promise<Reservations> {
    checkFields('options', options, ['folder', 'database', 'name', 'store', 'guard', 'now']);
    const { folder, guard, now = () => new Date() } = options;
    const repository = folder === undefined ? undefined : await Repository.open(folder);
    const leases = new ReservationLeases(guard, repository?.top);
    return new Reservations(await openStore(options, repository?.root), leases, now, repository?.cwd);
  }

  /**
   * The branch that is checked out in the folder now; `detached@<short id>` without one.
   * @throws StompError CONFIG_INVALID without a folder; NOT_A_REPOSITORY, GIT_FAILED, CANCELLED
   */
  async branch(signal?: AbortSignal): Promise<string> {
    if (this.#folder === undefined) throw noFolder();
    return (await Repository.open(this.#folder, { signal })).branch;
  }

  /**
   * Of several agents that ask for the same `ifFree`, one gets it. Without it everybody does, and sees whom it meets.
   * @throws StompError RESERVATION_CONFLICT, RESOURCE_BUSY when the guard has lent a file, CANCELLED, DB_BUSY,
   *   PAYLOAD_TOO_LARGE, PATH_DENIED, CONFIG_INVALID, INVALID_REQUEST, UNSUPPORTED_FIELD
   */
  async reserve(request: ReserveRequest): Promise<Reserved> {
    const checked = checkReserve(await this.#placed(request));
    const { party, signal } = checked;
    if (checked.forecast) this.#needCode();
    const reserved = await this.#store.alone(async () => {
      const { reservations, warnings } = await this.list();
      const held = holdingsOf(checked.addresses, reservations, party);
      if (checked.ifFree && held.length > 0) throw conflictError(held);
      return { reservation: await this.#write(checked), held: held.slice(0, mostHeldTold), warnings };
    }, signal);
    if (!checked.forecast) {
      const doubts = checked.check ? await this.#doubts(checked.addresses, signal) : [];
      return { ...reserved, warnings: [...reserved.warnings, ...doubts] };
    }
    const { conflicts, warnings } = await this.forecast({ ...party, signal });
    return { ...reserved, conflicts, warnings };
  }

  /** @throws StompError RESERVATION_NOT_FOUND, FORBIDDEN, PAYLOAD_TOO_LARGE, PATH_DENIED, DB_BUSY, INVALID_REQUEST */
  async intent(request: IntentRequest): Promise<Intent> {
    const placed = await this.#placed(request);
    const { party, reservationId, addresses, operation, detail } = checkIntent(placed);
    const createdAt = this.#now();
    const reservation =
      reservationId === undefined ? undefined : await this.#ownActive(reservationId, party.runId);
    const intent = {
      intentId: randomUUID(),
      reservationId: reservationId ?? '',
      ...party,
      addresses: addresses ?? reservation?.addresses ?? [],
      operation,
      createdAt,
      detail,
      expiresAt: reservation?.expiresAt ?? createdAt,
    };
    await this.#store.addIntent(intent);
    const [told = intent] = activityOf({
      reservations: reservation ? [reservation] : [],
      intents: [intent],
      amendments: [],
      warnings: [],
    }).intents;
    return told;
  }

  /**
   * Ends a reservation, its intents and its leases; one that has ended stays as it is.
   * @throws StompError RESERVATION_NOT_FOUND, FORBIDDEN, PATH_DENIED, DB_BUSY, INVALID_REQUEST
   */
  async release(request: ReleaseRequest): Promise<Amended> {
    const { reservationId, runId } = checkRelease(request);
    const reservation = await this.#own(reservationId, runId);
    if (reservation.releasedAt) return { reservation, warnings: [] };
    const createdAt = this.#now();
    await this.#store.addAmendment({ id: randomUUID(), kind: 'release', reservationId, runId, createdAt });
    const warnings = await this.#leases.giveBack(reservation);
    return { reservation: { ...reservation, releasedAt: createdAt }, warnings };
  }

  /**
   * Lets a reservation, and its leases, hold for so long from now on, never shorter than before. What has ended is not
   * revived: others may have its symbols by now.
   * @throws StompError RESERVATION_NOT_FOUND, FORBIDDEN, CANCELLED, PATH_DENIED, DB_BUSY, INVALID_REQUEST
   */
  async renew(request: RenewRequest): Promise<Amended> {
    const { reservationId, runId, ttlSeconds, signal } = checkRenew(request);
    return this.#store.alone(async () => {
      const reservation = await this.#ownActive(reservationId, runId);
      const createdAt = this.#now();
      const expiresAt = after(createdAt, ttlSeconds);
      if (expiresAt > reservation.expiresAt) {
        await this.#store.addAmendment({
          id: randomUUID(),
          kind: 'renewal',
          reservationId,
          runId,
          createdAt,
          expiresAt,
        });
      }
      const later = expiresAt > reservation.expiresAt ? expiresAt : reservation.expiresAt;
      const warnings = await this.#leases.renew(reservation, (later.getTime() - createdAt.getTime()) / 1000);
      return { reservation: { ...reservation, expiresAt: later }, warnings };
    }, signal);
  }

  /**
   * What holds now, or with `all` the whole trail, but for what is archived; the oldest first.
   * @throws StompError PATH_DENIED, DB_BUSY
   */
  async list(options: { readonly all?: boolean | undefined } = {}): Promise<Activity> {
    checkFields('options', options, ['all']);
    const all = checkBoolean('all', options.all, false);
    const activity = activityOf(await this.#store.read());
    return all ? activity : activeAt(activity, this.#now());
  }

  /**
   * One of the trail, whether it has ended or not.
   * @throws StompError RESERVATION_NOT_FOUND, PATH_DENIED, DB_BUSY
   */
  async get(reservationId: string): Promise<Reservation> {
    const { reservations } = await this.list({ all: true });
    const found = reservations.find((one) => one.reservationId === reservationId);
    if (found) return found;
    throw notFound(reservationId, 'There is no such reservation');
  }

  /**
   * Waits until no other agent has any of the addresses. Whoever wants them then still reserves them `ifFree`.
   * @throws StompError RESERVATION_CONFLICT when the time is up, CANCELLED, PATH_DENIED, DB_BUSY, INVALID_REQUEST
   */
  async awaitFree(request: AwaitRequest): Promise<void> {
    const { addresses, party, timeoutMs, signal } = checkAwait(await this.#placedIfNamed(request));
    const deadline = performance.now() + timeoutMs;
    while (true) {
      if (signal?.aborted) throw cancelled(signal.reason);
      const pause = new AbortController();
      const until = AbortSignal.any(signal ? [signal, pause.signal] : [pause.signal]);
      // Begun before it is looked, so that nothing that comes between is missed.
      const changed = this.#store.changed(until);
      try {
        const held = holdingsOf(addresses, (await this.list()).reservations, party);
        if (held.length === 0) return;
        const leftMs = deadline - performance.now();
        if (leftMs <= 0) throw conflictError(held);
        await Promise.race([changed, wait(Math.min(leftMs, this.#untilOneEnds(held)), until)]);
      } finally {
        pause.abort();
        await changed;
      }
    }
  }

  /**
   * Moves what ended so long ago aside, where it is no longer read.
   * @returns how many records
   * @throws StompError PATH_DENIED, DB_BUSY, INVALID_REQUEST
   */
  async gc(options: { readonly olderThanSeconds?: number | undefined } = {}): Promise<number> {
    checkFields('options', options, ['olderThanSeconds']);
    const before = after(this.#now(), -checkAge(options.olderThanSeconds));
    return this.#store.alone(() => this.#store.archive(before));
  }

  /**
   * What will clash, of all that is announced now. Which calls lead where is read from the files of the folder.
   * @throws StompError CONFIG_INVALID without a folder; NOT_A_REPOSITORY, GIT_FAILED, CANCELLED, DB_BUSY,
   *   INVALID_REQUEST, UNSUPPORTED_FIELD
   */
  async forecast(request: ForecastRequest = {}): Promise<Forecast> {
    const code = this.#needCode();
    const { only, call } = checkForecast(request);
    const { reservations, intents, warnings } = await this.list();
    const found = await code.ask('forecast', { reservations, intents, only }, call);
    return { ...found, warnings: [...warnings, ...found.warnings] };
  }

  /**
   * What merging `theirs` into `ours` comes to, symbol by symbol; nothing is written but to `out`.
   * @throws StompError UNKNOWN_REF, MERGE_REFUSED, INVALID_REQUEST, CONFIG_INVALID, GIT_FAILED, CANCELLED
   */
  async planMerge(question: MergeQuestion, call: CodeCall = {}): Promise<MergeAnswer> {
    return this.#needCode().ask('planMerge', checkMerge(question), checkCall(call));
  }

  /**
   * In which order to merge branches: every two of them are planned.
   * @throws StompError UNKNOWN_REF, INVALID_REQUEST, CONFIG_INVALID, GIT_FAILED, CANCELLED
   */
  async reconcile(question: ReconcileQuestion = {}, call: CodeCall = {}): Promise<Reconciliation> {
    return this.#needCode().ask('reconcile', checkReconcile(question), checkCall(call));
  }

  /**
   * Splits the files into parts for so many agents, so that few calls go from part to part.
   * @throws StompError INVALID_REQUEST, CONFIG_INVALID, GIT_FAILED, CANCELLED
   */
  async shard(question: ShardQuestion, call: CodeCall = {}): Promise<WithWarnings<Shards>> {
    return this.#needCode().ask('shard', checkShard(question), checkCall(call));
  }

  /**
   * Who calls these symbols, directly or through others.
   * @throws StompError INVALID_REQUEST, CONFIG_INVALID, GIT_FAILED, CANCELLED
   */
  async impact(question: ImpactQuestion, call: CodeCall = {}): Promise<WithWarnings<Impact>> {
    return this.#needCode().ask('impact', checkImpact(question), checkCall(call));
  }

  /** What is under way fails with SHUTTING_DOWN. */
  async close(): Promise<void> {
    await this.#code?.close();
    await this.#store.close();
  }

  /** As `close`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #needCode(): CodeThread {
    if (this.#code) return this.#code;
    throw noFolder();
  }

  /** Of a reservation that stands already, so that nothing that goes wrong here is a failure. */
  async #doubts(addresses: readonly string[], signal: AbortSignal | undefined): Promise<readonly Warning[]> {
    if (!this.#code) return [];
    try {
      return await this.#code.ask('doubts', addresses, { signal });
    } catch (error) {
      return [
        { subject: 'symbols', reason: `Whether they are there is not known: ${(error as Error).message}` },
      ];
    }
  }

  /** Who does not say on which branch is on the one that is checked out. */
  async #placed<T extends { branch?: string | undefined; signal?: AbortSignal | undefined }>(
    request: T,
  ): Promise<T & { branch: string | undefined }> {
    const isLeftOut = typeof request === 'object' && request !== null && request.branch === undefined;
    const branch = isLeftOut && this.#folder !== undefined ? await this.branch() : request?.branch;
    return { ...request, branch };
  }

  #placedIfNamed(request: AwaitRequest): AwaitRequest | Promise<AwaitRequest> {
    return request?.runId === undefined ? request : this.#placed(request);
  }

  async #write(checked: ReturnType<typeof checkReserve>): Promise<Reservation> {
    const { party, addresses, ttlSeconds, operation, session, signal } = checked;
    const lease =
      session === undefined
        ? undefined
        : await this.#leases.take({ addresses, runId: party.runId, session, ttlSeconds, signal });
    const createdAt = this.#now();
    const reservation: Reservation = {
      reservationId: randomUUID(),
      ...party,
      addresses,
      createdAt,
      expiresAt: after(createdAt, ttlSeconds),
      operation,
      ...(lease && session !== undefined ? { leases: tokensOf(lease), leaseSession: session } : {}),
    };
    try {
      await this.#store.addReservation(reservation);
    } catch (error) {
      // What cannot be given back now expires; that nothing was written is what counts.
      await lease?.release().catch(() => undefined);
      throw error;
    }
    return reservation;
  }

  async #own(reservationId: string, runId: string): Promise<Reservation> {
    const found = await this.get(reservationId);
    if (found.runId === runId) return found;
    const message = `The reservation ${reservationId} is ${found.runId}'s; it ends at its time, or when ${found.runId} releases it.`;
    throw new StompError('FORBIDDEN', message, {
      fields: { reservation_id: reservationId, run_id: found.runId },
    });
  }

  async #ownActive(reservationId: string, runId: string): Promise<Reservation> {
    const found = await this.#own(reservationId, runId);
    if (isActive(found, this.#now())) return found;
    throw notFound(reservationId, 'The reservation has ended; reserve anew');
  }

  #untilOneEnds(held: readonly Holding[]): number {
    const now = this.#now().getTime();
    return Math.max(1, Math.min(longestPauseMs, ...held.map(({ until }) => until.getTime() - now)));
  }
}

async function openStore(
  { database, name, store }: ReservationsOptions,
  root: string | undefined,
): Promise<RecordStore> {
  if (store) return store;
  if (database !== undefined) {
    if (name === undefined) refuse('name', name, 'the name of the repository in the database');
    return openDatabase(database, name);
  }
  if (root === undefined) refuse('folder', root, 'a folder of a repository');
  const { FolderStore } = await import('./records/folder-store.js');
  return FolderStore.open(root);
}

async function openDatabase(database: string | Storage, repository: string): Promise<RecordStore> {
  const { SqlRecordStore } = await import('./records/sql-store.js');
  const ownsStorage = typeof database === 'string';
  const storage = ownsStorage ? await (await import('../storage/open.js')).openStorage(database) : database;
  try {
    return await SqlRecordStore.open({ storage, repository, ownsStorage });
  } catch (error) {
    if (ownsStorage) await storage.close();
    throw error;
  }
}

async function wait(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}

function after(time: Date, seconds: number): Date {
  return new Date(time.getTime() + seconds * 1000);
}

function notFound(reservationId: string, what: string): StompError {
  const message = `${what}: ${reservationId}.`;
  return new StompError('RESERVATION_NOT_FOUND', message, { fields: { reservation_id: reservationId } });
}

function noFolder(): StompError {
  const message = 'This takes the code of the repository: open the reservations with a folder of it.';
  return new StompError('CONFIG_INVALID', message, { fields: { setting: 'folder' } });
}

function cancelled(cause: unknown): StompError {
  return new StompError('CANCELLED', 'The wait was cancelled.', { cause });
}
