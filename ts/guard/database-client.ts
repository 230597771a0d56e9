/** What the work of a transaction is given to reach the database. */
import type Database from 'better-sqlite3';
import type { ClientBase } from 'pg';
import { refuse } from '../arguments.js';
import { StompError } from '../errors.js';
import type { Answer } from './database-session.js';

/** A row by the names of its columns, as the driver of the database gives it. */
export type DatabaseRow = Record<string, unknown>;

/** @internal */
export interface ClientSetup {
  readonly token: bigint | undefined;
  readonly signal: AbortSignal;
  /** @throws StompError when the transaction is not the caller's to use any more, or not yet again. */
  check(): void;
  run(sql: string, params: readonly unknown[]): Promise<Answer>;
  readonly sqlite: Database.Database | undefined;
  readonly postgres: ClientBase | undefined;
}

// Where a transaction begins and ends is the guard's to say.
const control =
  /^(?:\s|;|--[^\n]*(?:\n|$)|\/\*(?:[^*]|\*(?!\/))*\*\/)*(?:BEGIN|START|COMMIT|END|ROLLBACK|ABORT|SAVEPOINT|RELEASE|PREPARE\s+TRANSACTION)\b/i;

/** Statements of one transaction. It serves until the operation that it was given to has ended. */
export class DatabaseClient {
  readonly #setup: ClientSetup;

  /** @internal */
  constructor(setup: ClientSetup) {
    this.#setup = setup;
  }

  /** Which of the two it is. */
  get dialect(): 'sqlite' | 'postgres' {
    return this.#setup.sqlite ? 'sqlite' : 'postgres';
  }

  /** The token under which is written; undefined when reading, and when the guard is switched off. */
  get token(): bigint | undefined {
    return this.#setup.token;
  }

  /**
   * Aborts when the transaction is ended from outside: it takes too long, its lease is lost, the caller has cancelled.
   * It is rolled back then; whatever else the operation does should end.
   */
  get signal(): AbortSignal {
    return this.#setup.signal;
  }

  /**
   * The rows of one statement; none where it has none.
   * @param sql with the parameters of the database: `?` for SQLite, `$1` for PostgreSQL
   * @throws what the database refuses the statement with, as its driver has it; StompError INVALID_REQUEST
   */
  async query<R extends object = DatabaseRow>(sql: string, params: readonly unknown[] = []): Promise<R[]> {
    return (await this.#run(sql, params)).rows as R[];
  }

  /**
   * Runs one statement.
   * @returns how many rows it has inserted, changed or removed
   * @throws as `query`
   */
  async execute(sql: string, params: readonly unknown[] = []): Promise<number> {
    return (await this.#run(sql, params)).changes;
  }

  /**
   * The connection itself, within the transaction: for scripts, pragmas, functions. Nothing of it may be used after the
   * operation has ended, and its iterators must have ended by then.
   * @throws StompError INVALID_REQUEST when the database is another
   */
  get sqlite(): Database.Database {
    this.#setup.check();
    return this.#setup.sqlite ?? this.#other('SQLite');
  }

  /**
   * The connection itself, within the transaction: for cursors, `COPY`, notifications. Nothing of it may be used after
   * the operation has ended.
   * @throws StompError INVALID_REQUEST when the database is another
   */
  get postgres(): ClientBase {
    this.#setup.check();
    return this.#setup.postgres ?? this.#other('PostgreSQL');
  }

  #run(sql: string, params: readonly unknown[]): Promise<Answer> {
    if (typeof sql !== 'string' || sql.trim() === '') refuse('sql', sql, 'a statement');
    if (!Array.isArray(params)) refuse('params', params, 'a list of values');
    if (control.test(sql)) refuse('sql', sql, 'a statement that neither begins nor ends a transaction');
    this.#setup.check();
    return this.#setup.run(sql, params);
  }

  #other(wanted: string): never {
    throw new StompError(
      'INVALID_REQUEST',
      `This database is no ${wanted} database; look at "dialect" before you ask for its connection.`,
      { fields: { dialect: this.dialect } },
    );
  }
}
