/** Connections to an SQLite file. Each has one transaction at a time, whatever awaits what within it. */
import Database from 'better-sqlite3';
import { StompError } from '../errors.js';
import type { Cut } from './cut.js';
import type { Work } from './database-session.js';
import type { Patience } from './patience.js';
import { Slots } from './slots.js';

export interface SqliteConnections {
  /** @returns undefined when none has come free in time */
  take(patience: Patience, cut: Cut): Promise<Database.Database | undefined>;
  /** @param work what may still be using the connection */
  give(db: Database.Database, work: Work): void;
  close(): void;
}

/** The guard's own: opened when they are wanted, and closed when somebody will not let go of them. */
export class OwnConnections implements SqliteConnections {
  readonly #path: string;
  readonly #slots: Slots;
  readonly #idle: Database.Database[] = [];

  constructor(path: string, atOnce: number) {
    this.#path = path;
    this.#slots = new Slots(atOnce);
  }

  async take(patience: Patience, cut: Cut): Promise<Database.Database | undefined> {
    if (!(await this.#slots.take(patience, cut))) return undefined;
    try {
      return this.#idle.pop() ?? openFile(this.#path);
    } catch (error) {
      this.#slots.give();
      throw error;
    }
  }

  give(db: Database.Database, { settled }: Work): void {
    if (settled && restored(db, { queryOnly: 0 })) this.#idle.push(db);
    else discard(db);
    this.#slots.give();
  }

  close(): void {
    for (const db of this.#idle.splice(0)) db.close();
  }
}

/** What all guards of one handle share. */
interface Shared {
  readonly slots: Slots;
  /** How it was found, until it is so again. */
  found: Settings | undefined;
}

interface Settings {
  readonly queryOnly: number;
  readonly busyTimeoutMs?: number;
}

const given = new WeakMap<Database.Database, Shared>();

/** One of the caller's. It is left as it was found, and only once nobody uses it. */
export class GivenConnection implements SqliteConnections {
  readonly #db: Database.Database;
  readonly #shared: Shared;

  constructor(db: Database.Database) {
    this.#db = db;
    this.#shared = given.get(db) ?? { slots: new Slots(1), found: undefined };
    given.set(db, this.#shared);
  }

  async take(patience: Patience, cut: Cut): Promise<Database.Database | undefined> {
    if (!(await this.#shared.slots.take(patience, cut))) return undefined;
    try {
      this.#checkIdle();
      this.#shared.found ??= {
        queryOnly: Number(this.#db.pragma('query_only', { simple: true })),
        busyTimeoutMs: Number(this.#db.pragma('busy_timeout', { simple: true })),
      };
      this.#db.pragma('busy_timeout = 0');
      return this.#db;
    } catch (error) {
      this.#shared.slots.give();
      throw error;
    }
  }

  give(db: Database.Database, { done }: Work): void {
    const { found, slots } = this.#shared;
    if (found && restored(db, found)) this.#shared.found = undefined;
    void done.then(() => slots.give());
  }

  close(): void {
    // It is the caller's to close.
  }

  #checkIdle(): void {
    if (!this.#db.open) {
      throw new StompError(
        'INVALID_REQUEST',
        'The database handle is closed. Open the guard anew with another.',
      );
    }
    if (!this.#db.inTransaction) return;
    throw new StompError(
      'INVALID_REQUEST',
      `A transaction is open on the handle of ${this.#db.name}, outside of the guard. Commit it or roll it back first; nothing of it was touched.`,
      { fields: { database: this.#db.name } },
    );
  }
}

/** @throws StompError INVALID_REQUEST */
export function openFile(path: string): Database.Database {
  try {
    // Waiting is done by the guard, not by this thread.
    return new Database(path, { timeout: 0 });
  } catch (error) {
    throw new StompError(
      'INVALID_REQUEST',
      `The database ${path} cannot be opened: ${error instanceof Error ? error.message : String(error)}. Check that its folder exists and that both may be written.`,
      { fields: { field: 'database', database: path }, cause: error },
    );
  }
}

/** False when an operation has left an iterator open, which keeps everybody else from the connection. */
function restored(db: Database.Database, { queryOnly, busyTimeoutMs }: Settings): boolean {
  try {
    db.pragma(`query_only = ${queryOnly}`);
    if (busyTimeoutMs !== undefined) db.pragma(`busy_timeout = ${busyTimeoutMs}`);
    return !db.inTransaction;
  } catch {
    return false;
  }
}

function discard(db: Database.Database): void {
  try {
    db.close();
  } catch {
    // An iterator of the operation's is open on it: it closes with that.
  }
}
