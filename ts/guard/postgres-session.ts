/** A transaction of PostgreSQL, on a connection from a pool. */
import pg from 'pg';
import { StompError } from '../errors.js';
import { codeOf, isConnectionFailure, isRefusal } from './database-errors.js';
import {
  type Answer,
  endedWithin,
  type Session,
  type SessionRequest,
  type Work,
} from './database-session.js';
import { inTime, within } from './patience.js';

export interface PostgresSessionSetup {
  readonly request: SessionRequest;
  /** How long the server may take until the transaction has begun. */
  readonly answerMs: () => number;
  readonly late: () => StompError;
  /** Whether the transaction is committed nobody can tell. */
  readonly unknown: (error: unknown) => StompError;
  /** For a second connection, to stop what runs on this one. */
  readonly connection: pg.PoolOptions;
}

// For what should take no time, when the server may be gone.
const cleanUpMs = 5000;

// Of whatever comes after a statement that has failed.
const abortedBefore = '25P02';

const accepting = `INSERT INTO stomp_fences (resource_key, token) VALUES ($1, $2)
  ON CONFLICT (resource_key) DO UPDATE SET token = excluded.token WHERE stomp_fences.token <= excluded.token
  RETURNING token`;
const fences =
  'CREATE TABLE IF NOT EXISTS stomp_fences (resource_key text PRIMARY KEY, token bigint NOT NULL)';

export class PostgresSession implements Session {
  readonly sqlite = undefined;
  readonly postgres: pg.PoolClient;
  readonly #setup: PostgresSessionSetup;
  #failure: Error | undefined;
  #pid: number | undefined;
  #fencesMissing = false;
  /** Of the statements, which go one after the other. */
  #last: Promise<unknown> = Promise.resolve();
  #running = 0;
  #over = false;
  #lastError: unknown;

  constructor(client: pg.PoolClient, setup: PostgresSessionSetup) {
    this.postgres = client;
    this.#setup = setup;
    client.on('error', this.#break);
  }

  get broken(): boolean {
    return this.#failure !== undefined;
  }

  async begin(): Promise<void> {
    const { access, isolation, maxDurationMs } = this.#setup.request;
    const kind = access === 'read' ? 'REPEATABLE READ READ ONLY' : isolation.toUpperCase();
    // Should this process stand still, the server ends the transaction, a little later than the process would.
    await this.#timely(
      `BEGIN ISOLATION LEVEL ${kind}; SET LOCAL idle_in_transaction_session_timeout = ${maxDurationMs + cleanUpMs}`,
    );
    // What a read sees is of this moment.
    const { rows } = await this.#timely(
      `SELECT pg_backend_pid() AS pid, to_regclass('stomp_fences') IS NULL AS missing`,
    );
    const [found] = rows as { pid: number; missing: boolean }[];
    this.#pid = found?.pid;
    this.#fencesMissing = found?.missing === true;
  }

  async accept(key: string, token: bigint): Promise<bigint | undefined> {
    if (this.#fencesMissing) await this.#createFences();
    const accepted = await this.#timely(accepting, [key, token.toString()]);
    if (accepted.rows.length > 0) return undefined;
    const { rows } = await this.#timely(
      'SELECT token::text AS token FROM stomp_fences WHERE resource_key = $1',
      [key],
    );
    const [found] = rows as { token: string }[];
    return BigInt(found?.token ?? token);
  }

  run(sql: string, params: readonly unknown[] = []): Promise<Answer> {
    const turn = this.#last.then(() => this.#send(sql, params));
    // Its caller has the error.
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  async savepoint(name: string, readOnly: boolean): Promise<void> {
    await this.run(`SAVEPOINT ${name}`);
    // Until the savepoint ends, either way.
    if (readOnly) await this.run('SET TRANSACTION READ ONLY');
  }

  async releaseSavepoint(name: string): Promise<void> {
    try {
      await this.run(`RELEASE SAVEPOINT ${name}`);
    } catch (error) {
      throw codeOf(error) === abortedBefore ? this.#aborted() : error;
    }
  }

  async rollbackTo(name: string): Promise<void> {
    await this.run(`ROLLBACK TO SAVEPOINT ${name}`);
    await this.run(`RELEASE SAVEPOINT ${name}`);
    this.#lastError = undefined;
  }

  async commit(): Promise<void> {
    const { cut } = this.#setup.request;
    await cut.race(this.#last);
    cut.check();
    if (this.#failure) throw this.#failure;
    if (this.#endedWithin()) throw endedWithin(this.#lastError);
    this.#over = true;
    // The server answers a COMMIT of what has failed by rolling back, and says so by the name of the command alone.
    if ((await this.#commit()) === 'ROLLBACK') throw this.#aborted();
  }

  async rollback({ settled }: Pick<Work, 'settled'>): Promise<void> {
    this.#over = true;
    if (!settled || this.#running > 0) await this.#cancel();
    if (this.#failure) return;
    try {
      await within(cleanUpMs, this.#last);
      await within(cleanUpMs, this.postgres.query('ROLLBACK'));
    } catch (error) {
      this.#break(error);
    }
  }

  leave({ settled }: Work): void {
    this.postgres.off('error', this.#break);
    // Nobody else gets a connection that is in somebody's hands.
    this.postgres.release(this.#failure ?? !settled);
  }

  async #commit(): Promise<string> {
    try {
      const { command } = await within(this.#setup.request.maxDurationMs, this.postgres.query('COMMIT'));
      return command;
    } catch (error) {
      if (isRefusal(error)) throw error;
      this.#break(error);
      throw this.#setup.unknown(error);
    }
  }

  /** Of what must be answered for the transaction to begin. */
  #timely(sql: string, params?: readonly unknown[]): Promise<Answer> {
    const { request, answerMs, late } = this.#setup;
    return inTime(this.run(sql, params), answerMs(), request.cut, late);
  }

  async #createFences(): Promise<void> {
    // One at a time: the loser of a race would fail.
    await this.#timely(`SELECT pg_advisory_xact_lock(hashtext('stomp_fences'))`);
    try {
      await this.#timely(fences);
    } catch (error) {
      if (codeOf(error) !== '42501') throw error;
      throw new StompError(
        'FORBIDDEN',
        `This role may not create the table in which the guard keeps its tokens. Let one that may do so: ${fences}; and grant this one SELECT, INSERT and UPDATE.`,
        { cause: error },
      );
    }
  }

  async #send(sql: string, params: readonly unknown[]): Promise<Answer> {
    if (this.#over) throw new StompError('INVALID_REQUEST', 'The transaction has ended.');
    if (this.#endedWithin()) throw endedWithin(this.#lastError);
    this.#running++;
    try {
      const result = await this.postgres.query<pg.QueryResultRow, unknown[]>(
        sql,
        params.length > 0 ? [...params] : undefined,
      );
      // Of several statements in one text there are several results.
      const last = [result].flat().at(-1);
      return { rows: last?.rows ?? [], changes: last?.rowCount ?? 0 };
    } catch (error) {
      this.#note(error);
      throw error;
    } finally {
      this.#running--;
    }
  }

  #note(error: unknown): void {
    if (codeOf(error) !== abortedBefore) this.#lastError = error;
    // The server says so before it hangs up.
    if (isConnectionFailure(error)) this.#break(error);
  }

  /** Stops what runs on the connection, which nothing else can do: it would go on until it is done, locks and all. */
  async #cancel(): Promise<void> {
    if (this.#pid === undefined) {
      this.#break('It did not answer when the transaction was to begin.');
      return;
    }
    const other = new pg.Client(this.#setup.connection);
    other.on('error', () => undefined); // told by the query too
    try {
      await within(cleanUpMs, other.connect());
      await within(cleanUpMs, other.query('SELECT pg_cancel_backend($1)', [this.#pid]));
    } catch (error) {
      this.#break(error);
    }
    // Whether it says goodbye makes no difference to anybody.
    other.end().catch(() => undefined);
  }

  #aborted(): unknown {
    return this.#lastError ?? endedWithin(undefined);
  }

  /** Whether a statement has ended the transaction; the driver of a given pool may not know. */
  #endedWithin(): boolean {
    return this.#pid !== undefined && this.postgres.getTransactionStatus?.() === 'I';
  }

  readonly #break = (error: unknown) => {
    this.#failure ??= error instanceof Error ? error : new Error(String(error));
  };
}
