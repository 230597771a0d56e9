/**
 * One small face of two databases. Work is written once, as a generator that yields statements and is given rows:
 * SQLite runs it in one go, PostgreSQL waits for the network in between; each time in one transaction.
 */

export type SqlValue = string | number | bigint | null;
export type Row = Readonly<Record<string, SqlValue>>;

export interface Statement {
  /** A statement or a part of one, with `?` for parameters, whatever the database calls them. */
  readonly sql: string;
  readonly params: readonly SqlValue[];
}

/** What a transaction does. It may run more than once: it changes nothing but the database. */
export type Work<T> = Generator<Statement, T, readonly Row[]>;

/** For `yield* rows(...)`: the rows of a statement. */
export function* rows(sql: string, ...params: SqlValue[]): Work<readonly Row[]> {
  return yield { sql, params };
}

/** Of a column that may be null. */
export function textOrNone(value: SqlValue | undefined): string | undefined {
  return value === null || value === undefined ? undefined : String(value);
}

/** Of a column that may be null. */
export function numberOrNone(value: SqlValue | undefined): number | undefined {
  return value === null || value === undefined ? undefined : Number(value);
}

/** The rows whose columns have these values; a column without one may have any. */
export function whereEqual(columns: Readonly<Record<string, SqlValue | undefined>>): Statement {
  const given = Object.entries(columns).filter((one): one is [string, SqlValue] => one[1] !== undefined);
  const sql = given.length > 0 ? `WHERE ${given.map(([column]) => `${column} = ?`).join(' AND ')}` : '';
  return { sql, params: given.map(([, value]) => value) };
}

/** Whether a text can stand in a column of both databases: in PostgreSQL no text holds a NUL. */
export function isStorable(text: string): boolean {
  return !text.includes('\0');
}

export interface Migration {
  readonly name: string;
  /** One statement each; `?` is no parameter here. */
  readonly sqlite: readonly string[];
  readonly postgres: readonly string[];
}

export interface Storage {
  readonly dialect: 'sqlite' | 'postgres';
  /** A path or a host and database, without credentials: for messages. */
  readonly name: string;
  /** Brings the tables to what this version knows; safe when several processes do it at once. */
  migrate(migrations: readonly Migration[]): Promise<void>;
  /**
   * One transaction. SQLite has one writer at a time; in PostgreSQL (READ COMMITTED) work that writes what it has read
   * locks the rows.
   * @throws StompError DB_BUSY when the database is held by others for too long or out of reach.
   */
  write<T>(work: () => Work<T>): Promise<T>;
  /** One transaction that sees one state of the database. */
  read<T>(work: () => Work<T>): Promise<T>;
  /** An expression for milliseconds that only rise, the same for everybody who uses this database. */
  clock(): Statement;
  /** Tells everybody who listens that something changed, once the running transaction is committed. */
  notify(channel: string): Work<void>;
  /**
   * Calls back, soon, after anybody's `notify`; perhaps also without a reason.
   * @returns what ends it
   */
  listen(channel: string, call: () => void): Promise<() => Promise<void>>;
  close(): Promise<void>;
}

/** Whether work has failed by a fault of its own: the database is not to blame for it. */
export function isFault(error: unknown): boolean {
  return [TypeError, RangeError, ReferenceError, SyntaxError].some((kind) => error instanceof kind);
}
