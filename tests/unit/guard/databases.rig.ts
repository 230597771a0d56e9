/** A folder with a database, guards of it, and a program beside them that knows nothing of guards. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import type { StompError } from '../../../ts/errors.js';
import type { DatabaseClient } from '../../../ts/guard/database-client.js';
import {
  DatabaseGuard,
  type DatabaseGuardOptions,
  type TransactionOptions,
} from '../../../ts/guard/databases.js';
import { Maasl } from '../../../ts/guard/maasl.js';
import type { StompEvent } from '../../../ts/guard/telemetry.js';

export const as = (agentId: string, more: Partial<TransactionOptions> = {}): TransactionOptions => ({
  agentId,
  sessionId: `${agentId}-1`,
  ...more,
});

export const caught = (promise: Promise<unknown>): Promise<StompError | undefined> =>
  promise.then(
    () => undefined,
    (error: StompError) => error,
  );

export const set = (tx: DatabaseClient, n: number, name = 'a'): Promise<number> =>
  tx.execute('UPDATE counters SET n = ? WHERE name = ?', [n, name]);

export const get = async (tx: DatabaseClient, name = 'a'): Promise<number> =>
  (await tx.query<{ n: number }>('SELECT n FROM counters WHERE name = ?', [name]))[0]?.n ?? -1;

/** What is committed. */
export const inFile = (db: Database.Database, name = 'a'): number =>
  db.prepare<[string], number>('SELECT n FROM counters WHERE name = ?').pluck().get(name) ?? -1;

/** The one lease that is held ends, as if its time had come. */
export async function endLease(maasl: Maasl): Promise<void> {
  const [lock] = await maasl.locks.snapshot();
  if (!lock) throw new Error('nothing is held');
  const owner = { agentId: lock.holder_agent_id, sessionId: lock.holder_session_id };
  await maasl.locks.resume(new Map([[lock.resource_key, BigInt(lock.fencing_token)]]), owner).release();
}

export class Rig {
  readonly folder = mkdtempSync(join(tmpdir(), 'stomp-databases-'));
  readonly file = join(this.folder, 'x.db');
  readonly events: StompEvent[] = [];
  readonly #toClose: { close(): unknown }[] = [];

  closing<T extends { close(): unknown }>(one: T): T {
    this.#toClose.push(one);
    return one;
  }

  /** With connections of its own to the locks that all share, as each process has. */
  async maasl(more: object = {}): Promise<Maasl> {
    const sink = (event: StompEvent) => this.events.push(event);
    return this.closing(await Maasl.open({ database: join(this.folder, 'locks.db'), sink, ...more }));
  }

  async guard(options: Partial<DatabaseGuardOptions> = {}, maasl?: Maasl): Promise<DatabaseGuard> {
    const under = maasl ?? (await this.maasl());
    return this.closing(await DatabaseGuard.open(under, { database: this.file, ...options }));
  }

  /** Another program, which makes a table of counters. */
  outside(journal: 'wal' | 'delete' = 'wal'): Database.Database {
    const db = this.closing(new Database(this.file, { timeout: 0 }));
    db.pragma(`journal_mode = ${journal}`);
    db.exec('CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, n INTEGER NOT NULL)');
    db.exec("INSERT OR IGNORE INTO counters VALUES ('a', 0), ('b', 0)");
    return db;
  }

  writes(): StompEvent[] {
    return this.events.filter(({ event }) => event === 'db_write');
  }

  async close(): Promise<void> {
    for (const one of this.#toClose.reverse()) await one.close();
    rmSync(this.folder, { recursive: true });
  }
}
