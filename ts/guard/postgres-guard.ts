/** PostgreSQL under the database guard. */
import pg from 'pg';
import { StompError } from '../errors.js';
import { codeOf, isCollision, isConnectionFailure, isLockTimeout } from './database-errors.js';
import type { GuardedDatabase, Phase, Session, SessionRequest } from './database-session.js';
import { DbBusyError } from './errors.js';
import { inTime } from './patience.js';
import { PostgresSession } from './postgres-session.js';

// A server across the network is given time to answer also by those who do not wait for others.
const leastAnswerMs = 250;

export class PostgresDatabase implements GuardedDatabase {
  readonly identifier: string;
  readonly #pool: pg.Pool;
  readonly #own: boolean;

  private constructor(pool: pg.Pool, own: boolean) {
    this.#pool = pool;
    this.#own = own;
    this.identifier = addressOf(pool);
  }

  static openUrl(url: string, connections: number): PostgresDatabase {
    const pool = new pg.Pool({
      connectionString: url,
      max: connections,
      application_name: 'stomp-serve guard',
      allowExitOnIdle: true,
    });
    // An idle connection that the server has cut is replaced when it is wanted.
    pool.on('error', () => undefined);
    return new PostgresDatabase(pool, true);
  }

  static openPool(pool: pg.Pool): PostgresDatabase {
    return new PostgresDatabase(pool, false);
  }

  async connect(request: SessionRequest): Promise<Session> {
    const { patience, before, description } = request;
    const answerMs = () => Math.max(patience.leftMs, before === undefined ? leastAnswerMs : 0);
    const client = await this.#client(request, answerMs());
    return new PostgresSession(client, {
      request,
      answerMs,
      late: () => this.#late(request),
      unknown: (error) => this.#unknown(error, description),
      connection: this.#pool.options,
    });
  }

  mayPass(error: unknown, phase: Phase, session: Session | undefined): boolean {
    // What has been waited for long enough, or may have been applied.
    if (error instanceof DbBusyError) return false;
    if (session?.broken || isCollision(error)) return true;
    return phase === 'begin' && (isConnectionFailure(error) || isLockTimeout(error));
  }

  busy(error: unknown, description: string): DbBusyError {
    const why = isCollision(error)
      ? 'was changed by others at the same time, again and again'
      : `does not answer as it should (${wordsOf(error)})`;
    return this.#error(`${why}. ${nothingOf(description)}`, error, { description });
  }

  async close(): Promise<void> {
    if (this.#own) await this.#pool.end();
  }

  async #client(request: SessionRequest, ms: number): Promise<pg.PoolClient> {
    if (this.#pool.ending) {
      throw new StompError('INVALID_REQUEST', 'The pool has been ended. Open the guard anew with another.');
    }
    const connecting = this.#pool.connect();
    try {
      return await inTime(connecting, ms, request.cut, () => this.#late(request));
    } catch (error) {
      // Should it come after all, nobody is there to use it.
      connecting.then(
        (client) => client.release(),
        () => undefined,
      );
      // The pool's own time limit has no code.
      if (error instanceof StompError || isConnectionFailure(error)) throw error;
      throw this.busy(error, request.description);
    }
  }

  #late({ before, description }: SessionRequest): DbBusyError {
    // That is what the time went by with.
    if (before !== undefined) return this.busy(before, description);
    return this.#error(
      `has not answered in time, or another transaction is at it. ${nothingOf(description)}`,
      undefined,
      { description },
    );
  }

  #unknown(error: unknown, description: string): DbBusyError {
    return this.#error(
      `was lost while "${description}" was being committed (${wordsOf(error)}): it may have been applied. Look before you repeat it.`,
      error,
      { description, committed: 'unknown' },
    );
  }

  #error(message: string, cause: unknown, fields: Record<string, unknown>): DbBusyError {
    return new DbBusyError(`The database ${this.identifier} ${message}`, {
      fields: { ...fields, last_sqlite_error: null, sql_state: codeOf(cause) ?? null },
      cause,
    });
  }
}

/** Where it is, however that was said: neither who connects nor how. */
function addressOf({ options }: pg.Pool): string {
  const { host, port, database } = new pg.Client(options);
  const name = host.includes(':') ? `[${host}]` : encodeURIComponent(host);
  return `postgres://${name}:${port}/${encodeURIComponent(database ?? '')}`;
}

function nothingOf(description: string): string {
  return `Nothing of "${description}" was applied; try again later, or wait longer.`;
}

function wordsOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message || (codeOf(error) ?? 'no reason given');
}
