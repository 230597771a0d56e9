/** SQLite: one file, any number of processes of one machine. */
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import Database from 'better-sqlite3';
import { StompError } from '../errors.js';
import {
  isFault,
  type Migration,
  type Row,
  type SqlValue,
  type Statement,
  type Storage,
  type Work,
} from './storage.js';

export interface SqliteOptions {
  /** The file; its folder is made. */
  path: string;
  /** How long to wait for other writers; 5,000 by default. */
  busyTimeoutMs?: number;
  /** How often to look for the changes of other processes while somebody listens; 4 by default. */
  pollMs?: number;
}

// Of a wait that holds up this thread; longer ones go through its event loop.
const blockingWaitMs = 10;
const longestPauseMs = 10;
// Statements about many keys come in ever new lengths.
const mostPrepared = 500;

type Prepared = Database.Statement<SqlValue[], Row>;

export class SqliteStorage implements Storage {
  readonly dialect = 'sqlite';
  readonly name: string;
  readonly #db: Database.Database;
  readonly #prepared = new Map<string, Prepared>();
  readonly #listeners = new Map<string, Set<() => void>>();
  readonly #pollMs: number;
  readonly #busyTimeoutMs: number;
  #notified = new Set<string>();
  #version = 0;
  #isSetUp = false;
  #poll: NodeJS.Timeout | undefined;

  constructor({ path, busyTimeoutMs = 5000, pollMs = 4 }: SqliteOptions) {
    this.name = path;
    this.#pollMs = pollMs;
    this.#busyTimeoutMs = busyTimeoutMs;
    try {
      mkdirSync(dirname(path), { recursive: true });
      this.#db = new Database(path, { timeout: blockingWaitMs });
    } catch (error) {
      throw this.#failed('open', error);
    }
  }

  migrate(migrations: readonly Migration[]): Promise<void> {
    return this.#run('migrate', () => {
      this.#db.exec('CREATE TABLE IF NOT EXISTS stomp_migrations (name TEXT PRIMARY KEY) STRICT');
      const known = this.#db.prepare('SELECT 1 FROM stomp_migrations WHERE name = ?');
      const note = this.#db.prepare('INSERT INTO stomp_migrations (name) VALUES (?)');
      for (const { name, sqlite } of migrations) {
        if (known.get(name)) continue;
        for (const sql of sqlite) this.#db.exec(sql);
        note.run(name);
      }
    });
  }

  write<T>(work: () => Work<T>): Promise<T> {
    return this.#run('write', () => this.#drive(work()));
  }

  read<T>(work: () => Work<T>): Promise<T> {
    return this.#attempt('read', () => this.#db.transaction(() => this.#drive(work())).deferred());
  }

  clock(): Statement {
    return { sql: '?', params: [Number(process.hrtime.bigint()) / 1e6] };
  }

  // biome-ignore lint/correctness/useYield: other databases must be told
  *notify(channel: string): Work<void> {
    this.#notified.add(channel);
  }

  listen(channel: string, call: () => void): Promise<() => Promise<void>> {
    const listeners = this.#listeners.get(channel) ?? new Set();
    this.#listeners.set(channel, listeners.add(call));
    this.#poll ??= setInterval(() => this.#look(), this.#pollMs).unref();
    return Promise.resolve(() => {
      listeners.delete(call);
      if (listeners.size === 0) this.#listeners.delete(channel);
      if (this.#listeners.size === 0) {
        clearInterval(this.#poll);
        this.#poll = undefined;
      }
      return Promise.resolve();
    });
  }

  close(): Promise<void> {
    clearInterval(this.#poll);
    this.#poll = undefined;
    this.#listeners.clear();
    this.#db.close();
    return Promise.resolve();
  }

  #run<T>(what: string, call: () => T): Promise<T> {
    this.#notified = new Set();
    return this.#attempt(what, () => {
      const result = this.#db.transaction(call).immediate();
      const told = this.#notified;
      for (const channel of told)
        for (const listener of this.#listeners.get(channel) ?? []) queueMicrotask(listener);
      return result;
    });
  }

  async #attempt<T>(what: string, call: () => T): Promise<T> {
    const deadline = performance.now() + this.#busyTimeoutMs;
    while (true) {
      try {
        this.#setUp();
        return call();
      } catch (error) {
        if (!isBusy(error) || performance.now() >= deadline) throw this.#told(what, error);
      }
      await sleep(1 + Math.random() * longestPauseMs);
    }
  }

  /** What a caller is told of an error that is not tried away. */
  #told(what: string, error: unknown): unknown {
    if (error instanceof StompError) return error;
    if (!this.#db.open) return new StompError('SHUTTING_DOWN', 'The database is closed.', { cause: error });
    return isFault(error) ? error : this.#failed(what, error);
  }

  /** Tried again like everything else: of several processes that open a new file at once, some find it busy. */
  #setUp(): void {
    if (this.#isSetUp) return;
    this.#db.pragma('journal_mode = WAL');
    // A token given out must not be given out again after a power cut.
    this.#db.pragma('synchronous = FULL');
    this.#db.pragma('foreign_keys = ON');
    this.#version = this.#dataVersion();
    this.#isSetUp = true;
  }

  #drive<T>(work: Work<T>): T {
    let step = work.next([]);
    while (!step.done) step = work.next(this.#execute(step.value));
    return step.value;
  }

  #execute({ sql, params }: Statement): readonly Row[] {
    let prepared = this.#prepared.get(sql);
    if (!prepared) {
      prepared = this.#db.prepare<SqlValue[], Row>(sql).safeIntegers(true);
      if (this.#prepared.size < mostPrepared) this.#prepared.set(sql, prepared);
    }
    if (prepared.reader) return prepared.all(...params);
    prepared.run(...params);
    return [];
  }

  /** Whether another process has committed something since the last look. */
  #look(): void {
    try {
      const version = this.#dataVersion();
      if (version === this.#version) return;
      this.#version = version;
    } catch {
      // Whoever listens meets the fault where somebody waits for it.
    }
    for (const listeners of this.#listeners.values()) for (const listener of listeners) listener();
  }

  #dataVersion(): number {
    return Number(this.#db.pragma('data_version', { simple: true }));
  }

  #failed(what: string, error: unknown): StompError {
    const busy = isBusy(error);
    const message = error instanceof Error ? error.message : String(error);
    const remedy = busy
      ? 'Another program holds it; try again later.'
      : 'Check that the disk has room and that the file may be written.';
    return new StompError('DB_BUSY', `Cannot ${what} the database ${this.name}: ${message}. ${remedy}`, {
      fields: { description: message, last_sqlite_error: codeOf(error) ?? null },
      cause: error,
    });
  }
}

function codeOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : undefined;
}

function isBusy(error: unknown): boolean {
  return /^SQLITE_(BUSY|LOCKED)/.test(codeOf(error) ?? '');
}
