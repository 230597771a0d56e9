/**
 * Databases that several agents write: one transaction at a time, each whole or not at all, nothing from a holder that
 * has lost its lease.
 *
 * A transaction holds a lease on the database. It begins by noting its token in a table of that very database,
 * `stomp_fences (resource_key, token)`, which refuses a token lower than one it has seen. The note is part of the
 * transaction: nobody can note a higher one before it ends, so that a holder that was asleep is either refused before it
 * has changed anything, or waited for.
 *
 * Tokens rise within one lock database: all who write a guarded database must share it. Should it be replaced, the first
 * write is refused, and tokens go on from what the guarded database has seen.
 */
import type Database from 'better-sqlite3';
import type { Pool } from 'pg';
import { checkChoice, checkFields, checkInteger, checkNumber, checkText, refuse } from '../arguments.js';
import { StompError } from '../errors.js';
import { Cut } from './cut.js';
import { Attempt } from './database-attempt.js';
import { openDatabase } from './database-open.js';
import { type DatabaseOperation, newScopes, type Scopes } from './database-scope.js';
import type { Access, GuardedDatabase, Isolation } from './database-session.js';
import type { Maasl, StompGuardOptions } from './maasl.js';
import { Patience } from './patience.js';
import { resolveResources } from './resources.js';
import type { StompGuard } from './stomp-guard.js';

/** Which database, and its limits. */
export interface DatabaseGuardOptions {
  /**
   * Which one: the path of an SQLite file, made when there is none; `postgres://user:password@host:port/database`; or a
   * handle of better-sqlite3 or a pool of pg, which stay the caller's to close. While a transaction runs on a handle,
   * everything done on it is part of that transaction, and reads wait for it.
   */
  database: string | Database.Database | Pool;
  /** How long a transaction may take once it has begun, unless it says otherwise. @default 30,000 */
  maxDurationMs?: number;
  /** Connections at once: to an SQLite file those that read, to PostgreSQL all. @default 4 */
  connections?: number;
}

/** Whose call it is and how patient it is; `intent` is set by the guard. */
export type DatabaseCall = Omit<StompGuardOptions, 'intent' | 'idempotencyKey'>;

export interface ReadOptions extends DatabaseCall {
  /** What is done, in a few words, for errors and events. @default 'read' */
  description?: string;
  /** How long it may take once it has begun. */
  maxDurationMs?: number;
}

export interface TransactionOptions extends DatabaseCall {
  /** What is done, in a few words, for errors and events. @default 'transaction' */
  description?: string;
  /** How long it may take once it has begun. */
  maxDurationMs?: number;
  /**
   * Of PostgreSQL, towards those who write without the guard: those with it come one after the other in any case. SQLite
   * is always serializable. @default 'read committed'
   */
  isolation?: Isolation;
}

/** A call with everything that it left out. */
interface Wanted<T> {
  readonly access: Access;
  readonly operation: DatabaseOperation<T>;
  readonly call: DatabaseCall;
  readonly description: string;
  readonly maxDurationMs: number;
  readonly isolation: Isolation;
}

/** How often it was tried. */
interface Tries {
  count: number;
}

const resourceClass = 'CRIT_DB';
const defaultMaxDurationMs = 30_000;
const longestMs = 24 * 3600 * 1000;
const durations = { min: 1, max: longestMs };
const isolations = ['read committed', 'repeatable read', 'serializable'] as const;
const readFields = [
  'mode',
  'agentId',
  'sessionId',
  'maxWaitMs',
  'ttlMs',
  'token',
  'signal',
  'description',
  'maxDurationMs',
];

/** Transactions of several agents on a database of their own. */
export class DatabaseGuard {
  /** What is locked: `db:` and where the database is. */
  readonly resourceKey: string;
  readonly #maasl: Maasl;
  readonly #database: GuardedDatabase;
  readonly #maxDurationMs: number;
  readonly #scopes: Scopes = newScopes();
  readonly #running = new Set<Promise<unknown>>();
  #closed = false;

  private constructor(maasl: Maasl, database: GuardedDatabase, resourceKey: string, maxDurationMs: number) {
    this.#maasl = maasl;
    this.#database = database;
    this.resourceKey = resourceKey;
    this.#maxDurationMs = maxDurationMs;
  }

  /**
   * @throws StompError CONFIG_INVALID when `maasl` has no database to keep its locks in, or leaves busy databases open;
   *   INVALID_REQUEST, PATH_DENIED
   */
  static async open(maasl: Maasl, options: DatabaseGuardOptions): Promise<DatabaseGuard> {
    checkFields('options', options, ['database', 'maxDurationMs', 'connections']);
    const limit = checkInteger('maxDurationMs', options.maxDurationMs, defaultMaxDurationMs, durations);
    const connections = checkInteger('connections', options.connections, 4, { min: 1, max: 1000 });
    maasl.fences; // refuses at once what every call would
    const database = await openDatabase(options.database, { connections, locks: maasl.storage });
    const { identifier } = database;
    const [resource] = await resolveResources(maasl.policy, [{ resourceClass, identifier }]);
    return new DatabaseGuard(maasl, database, resource?.key ?? identifier, limit);
  }

  /**
   * Runs `operation` in one transaction, alone among those who write by the guard, and commits it.
   *
   * Waiting for the lease, for the database, and at COMMIT for those who still read all counts against `maxWaitMs`; what
   * the operation itself takes does not. On PostgreSQL the operation is run again from its start, as long as `maxWaitMs`
   * is not over, when the transaction collided with others or lost its connection: what it does beside the database it
   * may do more than once.
   *
   * A transaction that an operation begins by the same guard is a savepoint of the outer one. It runs under the outer's
   * lease and limits, and when it fails only what it did is undone.
   *
   * @throws what `operation` throws, as it is, and what the database refuses a statement or the COMMIT with; then nothing
   *   of it was applied. StompError RESOURCE_BUSY, FENCED, LEASE_LOST; DB_BUSY when the database is locked or out of
   *   reach, with the field `committed: 'unknown'` when the connection was lost at COMMIT; CANCELLED by `signal`, or
   *   when it takes longer than `maxDurationMs`; INVALID_REQUEST, also when the caller has a transaction open on the
   *   handle, which is left as it is; SHUTTING_DOWN
   */
  async transaction<T>(operation: DatabaseOperation<T>, options: TransactionOptions): Promise<T> {
    checkFields('options', options, [...readFields, 'isolation']);
    return this.#start(this.#wanted('write', operation, options, 'transaction'));
  }

  /**
   * Runs `operation` on one snapshot of the database, in which it can change nothing. It waits for no lease as long as
   * the class of databases is `single_writer`. Within a transaction of the same guard it sees what that has done so far.
   *
   * @throws as `transaction`, and what the database refuses a change with
   */
  async read<T>(operation: DatabaseOperation<T>, options: ReadOptions): Promise<T> {
    checkFields('options', options, readFields);
    return this.#start(this.#wanted('read', operation, options, 'read'));
  }

  /**
   * Refuses what comes and waits for what is running. A handle or a pool that was given stays open.
   * @throws StompError INVALID_REQUEST within an operation, for which it would wait
   */
  async close(): Promise<void> {
    if (this.#scopes.getStore()?.open) {
      throw new StompError(
        'INVALID_REQUEST',
        'A guard cannot be closed within its own operation; close it after.',
      );
    }
    if (this.#closed) return;
    this.#closed = true;
    await Promise.allSettled(this.#running);
    await this.#database.close();
  }

  /** As `close`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #wanted<T>(
    access: Access,
    operation: DatabaseOperation<T>,
    options: TransactionOptions,
    fallback: string,
  ): Wanted<T> {
    const { description, maxDurationMs, isolation, ...call } = options;
    if (typeof operation !== 'function') refuse('operation', operation, 'a function');
    checkNumber('maxWaitMs', call.maxWaitMs, 0, { min: 0, max: longestMs });
    return {
      access,
      operation,
      call,
      description: checkText('description', description, fallback, 256),
      maxDurationMs: checkInteger('maxDurationMs', maxDurationMs, this.#maxDurationMs, durations),
      isolation: checkChoice('isolation', isolation, 'read committed', isolations),
    };
  }

  async #start<T>(wanted: Wanted<T>): Promise<T> {
    const scope = this.#scopes.getStore();
    if (scope?.governs) return scope.within(wanted.access, wanted.operation);
    if (this.#closed) throw new StompError('SHUTTING_DOWN', 'The database guard is closed.');
    const running = wanted.access === 'write' ? this.#write(wanted) : this.#call(wanted, { count: 0 });
    this.#running.add(running);
    try {
      return await running;
    } finally {
      this.#running.delete(running);
    }
  }

  async #write<T>(wanted: Wanted<T>): Promise<T> {
    const beganAt = performance.now();
    const tries: Tries = { count: 0 };
    const tell = (outcome: string) =>
      this.#maasl.telemetry.emit({
        event: 'db_write',
        agent_id: wanted.call.agentId,
        session_id: wanted.call.sessionId,
        resource_key: this.resourceKey,
        description: wanted.description,
        duration_ms: Math.round(performance.now() - beganAt),
        attempts: tries.count,
        outcome,
      });
    try {
      const result = await this.#call(wanted, tries);
      tell('ok');
      return result;
    } catch (error) {
      tell(error instanceof StompError ? error.code : 'failed');
      throw error;
    }
  }

  #call<T>(wanted: Wanted<T>, tries: Tries): Promise<T> {
    const { access, call } = wanted;
    const { policy } = this.#maasl;
    const patience = new Patience(
      call.maxWaitMs ?? policy.maxWaitMs(policy.get(resourceClass), call.mode ?? 'interactive'),
    );
    return this.#maasl.callWithStompGuard(
      (guard) => this.#guarded(guard, wanted, patience, tries),
      [{ resourceClass, identifier: this.#database.identifier, access }],
      { ...call, intent: `db_${access}` },
    );
  }

  async #guarded<T>(guard: StompGuard, wanted: Wanted<T>, patience: Patience, tries: Tries): Promise<T> {
    const cut = new Cut({ lease: guard.signal, caller: wanted.call.signal });
    try {
      await this.#noteToken(guard, wanted.access);
      let before: unknown;
      while (true) {
        tries.count++;
        const attempt = this.#attempt(guard, wanted, { patience, cut, before });
        try {
          return await attempt.run();
        } catch (error) {
          if (!attempt.mayPass) throw error;
          if (!(await patience.pause(cut))) throw this.#database.busy(error, wanted.description);
          before = error;
        }
      }
    } finally {
      cut.close();
    }
  }

  #attempt<T>(
    guard: StompGuard,
    { operation, access, isolation, maxDurationMs, description }: Wanted<T>,
    how: { patience: Patience; cut: Cut; before: unknown },
  ): Attempt<T> {
    return new Attempt(this.#database, {
      ...how,
      operation,
      access,
      isolation,
      maxDurationMs,
      description,
      scopes: this.#scopes,
      resourceKey: this.resourceKey,
      token: access === 'write' ? guard.tokens.get(this.resourceKey) : undefined,
      refused: (error) => this.#refused(guard, error),
      committed: () => guard.committed(),
    });
  }

  /** Locks in memory begin, when they are made anew, above what their storage has seen, which is not this database. */
  async #noteToken(guard: StompGuard, access: Access): Promise<void> {
    if (access === 'read' || this.#maasl.locks.durable || guard.tokens.size === 0) return;
    try {
      await this.#maasl.fences.accept(guard.tokens);
    } catch (error) {
      if (error instanceof StompError && error.code === 'FENCED') this.#maasl.telemetry.fenced(guard, error);
      throw error;
    }
  }

  /** Of a holder that does hold it the database has seen tokens of other locks. */
  async #refused(guard: StompGuard, error: StompError): Promise<void> {
    this.#maasl.telemetry.fenced(guard, error);
    if (guard.held) await this.#maasl.locks.raise(BigInt(String(error.fields.highest_token)));
  }
}
