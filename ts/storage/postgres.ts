/** PostgreSQL: any number of processes on any number of machines. */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { StompError } from '../errors.js';
import { isFault, type Migration, type Row, type Statement, type Storage, type Work } from './storage.js';

export interface PostgresOptions {
  /** `postgres://user:password@host:port/database`. */
  url: string;
  /** Connections at once, the listening one left out; 4 by default. */
  connections?: number;
  /** How long work is tried again while the server is out of reach or transactions collide; 10,000 by default. */
  retryMs?: number;
  /** `stomp_serve` by default. One of its own keeps several installations in one database apart. */
  schema?: string;
}

// What a second try may cure: serialisation failures and deadlocks, and connections that were cut.
const passing = /^(40001|40P01|55P03|57P0[1-3]|53300|08(?!P01)...|ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT)$/;
const longestPauseMs = 400;
const connectTimeoutMs = 5000;

export class PostgresStorage implements Storage {
  readonly dialect = 'postgres';
  readonly name: string;
  readonly #pool: pg.Pool;
  readonly #url: string;
  readonly #schema: string;
  readonly #retryMs: number;
  readonly #listeners = new Map<string, Set<() => void>>();
  #listening: Promise<pg.Client> | undefined;
  #closed = false;

  constructor({ url, connections = 4, retryMs = 10_000, schema = 'stomp_serve' }: PostgresOptions) {
    if (!URL.canParse(url)) {
      // Not quoted: it may hold a password.
      const message =
        'The address of the database is none: write postgres://user:password@host:port/database.';
      throw new StompError('CONFIG_INVALID', message, { fields: { setting: 'database' } });
    }
    const { host, pathname } = new URL(url);
    this.name = `${host}${pathname}`;
    this.#url = url;
    this.#schema = schema;
    this.#retryMs = retryMs;
    this.#pool = new pg.Pool({
      connectionString: url,
      max: connections,
      connectionTimeoutMillis: connectTimeoutMs,
      keepAlive: true,
      application_name: 'stomp-serve',
      types,
      allowExitOnIdle: true,
    });
    // An idle connection that the server has cut is replaced when it is wanted.
    this.#pool.on('error', () => undefined);
  }

  migrate(migrations: readonly Migration[]): Promise<void> {
    return this.#transaction('BEGIN', async (client) => {
      // One process at a time, also for what is not in the schema yet.
      await client.query('SELECT pg_advisory_xact_lock(hashtext($1))', [`stomp-serve ${this.#schema}`]);
      // To make one that is there already takes the right to make others.
      const there = await client.query('SELECT 1 FROM pg_namespace WHERE nspname = $1', [this.#schema]);
      if (!there.rowCount) await client.query(`CREATE SCHEMA ${quoted(this.#schema)}`);
      await client.query('CREATE TABLE IF NOT EXISTS stomp_migrations (name text PRIMARY KEY)');
      for (const { name, postgres } of migrations) {
        const known = await client.query('SELECT 1 FROM stomp_migrations WHERE name = $1', [name]);
        if (known.rowCount) continue;
        for (const sql of postgres) await client.query(sql);
        await client.query('INSERT INTO stomp_migrations (name) VALUES ($1)', [name]);
      }
    });
  }

  write<T>(work: () => Work<T>): Promise<T> {
    return this.#transaction('BEGIN', (client) => drive(client, work()));
  }

  read<T>(work: () => Work<T>): Promise<T> {
    return this.#transaction('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY', (client) =>
      drive(client, work()),
    );
  }

  clock(): Statement {
    return { sql: '(extract(epoch FROM clock_timestamp()) * 1000)::float8', params: [] };
  }

  *notify(channel: string): Work<void> {
    yield { sql: 'SELECT pg_notify(?, ?)', params: [this.#channel(channel), ''] };
  }

  async listen(channel: string, call: () => void): Promise<() => Promise<void>> {
    const name = this.#channel(channel);
    const listeners = this.#listeners.get(name) ?? new Set();
    const first = listeners.size === 0;
    this.#listeners.set(name, listeners.add(call));
    this.#listening ??= this.#connectListener().catch((error: unknown) => {
      this.#listening = undefined; // the next one tries anew
      throw error;
    });
    const client = await this.#listening.catch((error: unknown) => {
      listeners.delete(call);
      throw error;
    });
    if (first) await client.query(`LISTEN ${quoted(name)}`).catch(() => undefined); // a new connection listens anew
    return async () => {
      listeners.delete(call);
      if (listeners.size > 0) return;
      this.#listeners.delete(name);
      const current = await this.#listening?.catch(() => undefined);
      await current?.query(`UNLISTEN ${quoted(name)}`).catch(() => undefined);
    };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#listeners.clear();
    const listener = await this.#listening?.catch(() => undefined);
    await listener?.end().catch(() => undefined);
    await this.#pool.end();
  }

  #channel(channel: string): string {
    return `stomp_${this.#schema}_${channel}`;
  }

  async #transaction<T>(begin: string, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
    const deadline = performance.now() + this.#retryMs;
    for (let pauseMs = 5; ; pauseMs = Math.min(2 * pauseMs, longestPauseMs)) {
      try {
        return await this.#once(begin, work);
      } catch (error) {
        const late = performance.now() + pauseMs >= deadline;
        if (this.#closed || late || !isPassing(error)) throw this.#told(error);
      }
      await sleep(pauseMs * (0.5 + Math.random()));
    }
  }

  /** What a caller is told of an error that is not tried away. */
  #told(error: unknown): unknown {
    if (error instanceof StompError || isFault(error)) return error;
    if (this.#closed) return new StompError('SHUTTING_DOWN', 'The database is closed.', { cause: error });
    return this.#failed(error);
  }

  async #once<T>(begin: string, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
    const client = await this.#pool.connect();
    let broken: Error | undefined;
    const noteBroken = (error: Error) => {
      broken = error;
    };
    client.on('error', noteBroken);
    try {
      await client.query(`${begin}; SET LOCAL search_path TO ${quoted(this.#schema)}`);
      const result = await work(client);
      await client.query('COMMIT');
      return result;
    } catch (error) {
      await client.query('ROLLBACK').catch(noteBroken);
      throw error;
    } finally {
      client.off('error', noteBroken);
      client.release(broken);
    }
  }

  /** One connection for all channels, made anew when it is cut; whoever listens is then called, to be sure. */
  async #connectListener(): Promise<pg.Client> {
    const client = new pg.Client({
      connectionString: this.#url,
      connectionTimeoutMillis: connectTimeoutMs,
      keepAlive: true,
      application_name: 'stomp-serve listen',
    });
    let gone = false;
    const again = () => {
      if (gone || this.#closed) return;
      gone = true;
      this.#listening = this.#reconnectListener();
      // Whoever listens then hears of it; perhaps nobody does.
      this.#listening.catch(() => undefined);
    };
    client.on('error', again);
    client.on('end', again);
    client.on('notification', ({ channel }) => this.#call(channel));
    await client.connect().catch((error: unknown) => {
      gone = true;
      throw this.#failed(error);
    });
    if (this.#closed) {
      gone = true;
      await client.end();
      throw new StompError('SHUTTING_DOWN', 'The database is closed.');
    }
    for (const name of this.#listeners.keys()) await client.query(`LISTEN ${quoted(name)}`);
    return client;
  }

  async #reconnectListener(): Promise<pg.Client> {
    for (let pauseMs = 20; ; pauseMs = Math.min(2 * pauseMs, 1000)) {
      await sleep(pauseMs, undefined, { ref: false });
      if (this.#closed) throw new StompError('SHUTTING_DOWN', 'The database is closed.');
      try {
        const client = await this.#connectListener();
        for (const name of this.#listeners.keys()) this.#call(name);
        return client;
      } catch {
        // The server is still away; whoever waits has a deadline of its own.
      }
    }
  }

  #call(channel: string): void {
    for (const listener of this.#listeners.get(channel) ?? []) listener();
  }

  #failed(error: unknown): StompError {
    const message = error instanceof Error ? error.message || codeOf(error) : String(error);
    return new StompError(
      'DB_BUSY',
      `The database ${this.name} does not answer as it should: ${message}. Check that it runs and try again.`,
      { fields: { description: message, sql_state: codeOf(error) }, cause: error },
    );
  }
}

async function drive<T>(client: pg.PoolClient, work: Work<T>): Promise<T> {
  let step = work.next([]);
  while (!step.done) {
    const { rows } = await client.query(translated(step.value));
    step = work.next(rows as Row[]);
  }
  return step.value;
}

/** Each statement under a name, so that the server plans it once per connection; not those of ever new lengths. */
const mostNamed = 500;
const translations = new Map<string, { readonly name?: string; readonly text: string }>();

function translated({ sql, params }: Statement): pg.QueryConfig {
  let known = translations.get(sql);
  if (known === undefined) {
    let n = 0;
    const text = sql.replace(/\?/g, () => `$${++n}`);
    known = translations.size < mostNamed ? { name: `stomp_${translations.size}`, text } : { text };
    if (known.name) translations.set(sql, known);
  }
  return { ...known, values: params.map((value) => (typeof value === 'bigint' ? value.toString() : value)) };
}

// As SQLite gives them: integers exact, all else as the driver does.
const bigintType = 20;
const types: pg.CustomTypesConfig = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary') =>
    oid === bigintType
      ? BigInt
      : pg.types.getTypeParser(oid, format as 'text')) as typeof pg.types.getTypeParser,
};

function codeOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : undefined;
}

function isPassing(error: unknown): boolean {
  const message = error instanceof Error ? error.message : '';
  return passing.test(codeOf(error) ?? '') || /Connection terminated|timeout exceeded/.test(message);
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
