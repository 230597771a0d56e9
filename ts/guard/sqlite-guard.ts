/** SQLite under the database guard. */
import type Database from 'better-sqlite3';
import { StompError } from '../errors.js';
import { canonicalPath } from '../paths.js';
import type { Cut } from './cut.js';
import { codeOf, isLocked } from './database-errors.js';
import {
  type Access,
  type Answer,
  endedWithin,
  type GuardedDatabase,
  type Phase,
  type Session,
  type SessionRequest,
  type Work,
} from './database-session.js';
import { DbBusyError } from './errors.js';
import type { Patience } from './patience.js';
import { GivenConnection, OwnConnections, openFile, type SqliteConnections } from './sqlite-connections.js';

export class SqliteDatabase implements GuardedDatabase {
  /** The canonical path. */
  readonly identifier: string;
  readonly #writers: SqliteConnections;
  readonly #readers: SqliteConnections;

  private constructor(identifier: string, writers: SqliteConnections, readers: SqliteConnections) {
    this.identifier = identifier;
    this.#writers = writers;
    this.#readers = readers;
  }

  /** @throws StompError INVALID_REQUEST, PATH_DENIED */
  static async openPath(path: string, readers: number): Promise<SqliteDatabase> {
    const canonical = await canonicalPath(path);
    openFile(canonical).close(); // refuses at once what every call would
    return new SqliteDatabase(
      canonical,
      new OwnConnections(canonical, 1),
      new OwnConnections(canonical, readers),
    );
  }

  /** @throws StompError INVALID_REQUEST */
  static async openHandle(db: Database.Database): Promise<SqliteDatabase> {
    const file = db.open ? mainFile(db) : '';
    if (file === '') {
      throw new StompError(
        'INVALID_REQUEST',
        'database must be a handle that is open on a file: what is in memory only its own connection can reach.',
        { fields: { field: 'database' } },
      );
    }
    const connection = new GivenConnection(db);
    return new SqliteDatabase(await canonicalPath(file), connection, connection);
  }

  async connect(request: SessionRequest): Promise<Session> {
    const { access, description, patience, cut } = request;
    const connections = access === 'write' ? this.#writers : this.#readers;
    const db = await connections.take(patience, cut);
    if (!db) throw this.#inUse(description);
    return new SqliteSession(db, connections, request, (error) => this.busy(error, description));
  }

  mayPass(error: unknown, phase: Phase): boolean {
    return phase === 'begin' && isLocked(error);
  }

  busy(error: unknown, description: string): DbBusyError {
    return new DbBusyError(
      `The database ${this.identifier} is locked by another program (${codeOf(error)}). Nothing of "${description}" was applied; try again later, or wait longer.`,
      { fields: { description, last_sqlite_error: codeOf(error) ?? null }, cause: error },
    );
  }

  close(): Promise<void> {
    this.#writers.close();
    this.#readers.close();
    return Promise.resolve();
  }

  #inUse(description: string): DbBusyError {
    return new DbBusyError(
      `Other work of this process has the connections to ${this.identifier}. Nothing of "${description}" was applied; try again later, or wait longer.`,
      { fields: { description, last_sqlite_error: null } },
    );
  }
}

class SqliteSession implements Session {
  readonly postgres = undefined;
  readonly broken = false;
  readonly sqlite: Database.Database;
  readonly #connections: SqliteConnections;
  readonly #access: Access;
  readonly #cut: Cut;
  readonly #busy: (error: unknown) => StompError;
  /** As the connection was found. */
  readonly #queryOnly: number;
  /** Reads within each other. */
  #reads = 0;
  #lastError: unknown;

  constructor(
    db: Database.Database,
    connections: SqliteConnections,
    { access, cut }: SessionRequest,
    busy: (error: unknown) => StompError,
  ) {
    this.sqlite = db;
    this.#connections = connections;
    this.#access = access;
    this.#cut = cut;
    this.#busy = busy;
    this.#queryOnly = Number(db.pragma('query_only', { simple: true }));
  }

  async begin(): Promise<void> {
    if (this.#access === 'write') {
      this.sqlite.exec('BEGIN IMMEDIATE');
      return;
    }
    this.sqlite.exec('BEGIN DEFERRED');
    this.#beginRead();
    // Only the first statement takes the snapshot.
    this.sqlite.prepare('SELECT 1 FROM sqlite_master LIMIT 1').all();
  }

  async accept(key: string, token: bigint): Promise<bigint | undefined> {
    const db = this.sqlite;
    db.exec(
      'CREATE TABLE IF NOT EXISTS main.stomp_fences (resource_key TEXT PRIMARY KEY, token INTEGER NOT NULL) WITHOUT ROWID',
    );
    const highest = db
      .prepare<[string], bigint>('SELECT token FROM main.stomp_fences WHERE resource_key = ?')
      .safeIntegers(true)
      .pluck()
      .get(key);
    if (highest !== undefined && highest > token) return highest;
    if (highest !== token) {
      db.prepare('INSERT OR REPLACE INTO main.stomp_fences (resource_key, token) VALUES (?, ?)').run(
        key,
        token,
      );
    }
    return undefined;
  }

  async run(sql: string, params: readonly unknown[]): Promise<Answer> {
    this.#checkOpen();
    try {
      return this.#answer(this.sqlite.prepare<unknown[]>(sql), params);
    } catch (error) {
      this.#lastError = error;
      throw error;
    }
  }

  async savepoint(name: string, readOnly: boolean): Promise<void> {
    this.#checkOpen();
    this.sqlite.exec(`SAVEPOINT ${name}`);
    if (readOnly) this.#beginRead();
  }

  async releaseSavepoint(name: string, readOnly: boolean): Promise<void> {
    this.#checkOpen();
    if (readOnly) this.#endRead();
    this.sqlite.exec(`RELEASE ${name}`);
  }

  async rollbackTo(name: string, readOnly: boolean): Promise<void> {
    if (readOnly) this.#endRead();
    this.#checkOpen();
    this.sqlite.exec(`ROLLBACK TO ${name}`);
    this.sqlite.exec(`RELEASE ${name}`);
  }

  async commit(patience: Patience): Promise<void> {
    while (!this.#committed()) {
      if (!(await patience.pause(this.#cut))) throw this.#busy(this.#lastError);
    }
  }

  async rollback(): Promise<void> {
    try {
      if (this.sqlite.open && this.sqlite.inTransaction) this.sqlite.exec('ROLLBACK');
    } catch (error) {
      throw new StompError(
        'INVALID_REQUEST',
        'The transaction could not be rolled back: an iterator is open on its connection. Let no iterator outlive the operation.',
        { cause: error },
      );
    }
  }

  leave(work: Work): void {
    this.#connections.give(this.sqlite, work);
  }

  /** False when others are still reading: the transaction stays as it is, and new readers stay out. */
  #committed(): boolean {
    this.#cut.check();
    this.#checkOpen();
    try {
      this.sqlite.exec('COMMIT');
      return true;
    } catch (error) {
      if (!isLocked(error)) throw error;
      this.#lastError = error;
      return false;
    }
  }

  #answer(statement: Database.Statement<unknown[]>, params: readonly unknown[]): Answer {
    if (!statement.reader) return { rows: [], changes: statement.run(...params).changes };
    const rows = statement.all(...params);
    return { rows, changes: statement.readonly ? 0 : rows.length };
  }

  // Some errors undo the whole transaction; what came after them would be committed one by one.
  #checkOpen(): void {
    if (!this.sqlite.inTransaction) throw endedWithin(this.#lastError);
  }

  #beginRead(): void {
    if (this.#reads++ === 0) this.sqlite.pragma('query_only = ON');
  }

  #endRead(): void {
    if (--this.#reads === 0) this.sqlite.pragma(`query_only = ${this.#queryOnly}`);
  }
}

function mainFile(db: Database.Database): string {
  const files = db.pragma('database_list') as { name: string; file: string }[];
  return files.find(({ name }) => name === 'main')?.file ?? '';
}
