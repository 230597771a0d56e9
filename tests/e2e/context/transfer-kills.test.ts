import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { contextMigrations } from '../../../ts/context/schema.js';
import { transferContext } from '../../../ts/context/transfer.js';
import { PostgresStorage } from '../../../ts/storage/postgres.js';
import { SqliteStorage } from '../../../ts/storage/sqlite.js';
import type { Storage } from '../../../ts/storage/storage.js';
import { type PostgresServer, startPostgres } from '../../servers/postgres.js';
import { contentsOf, fill } from '../../unit/context/transfer.suite.js';
import { runWorker } from './worker.js';

// Spread over all steps, with those where a transaction of the target begins or ends among them.
const kills = 9;

describe('moving to another database, killed again and again', () => {
  let server: PostgresServer;
  let folder: string;
  const storages: Storage[] = [];

  beforeAll(async () => {
    server = await startPostgres();
    folder = mkdtempSync(join(tmpdir(), 'stomp-transfer-'));
  });
  afterAll(async () => {
    for (const storage of storages) await storage.close();
    await server?.close();
    rmSync(folder, { recursive: true });
  });

  const onSqlite = async (name: string) => {
    const address = join(folder, `${name}.db`);
    return { address, storage: await opened(new SqliteStorage({ path: address })) };
  };
  const onPostgres = async (schema: string) => {
    const address = server.url;
    return { address, storage: await opened(new PostgresStorage({ url: address, schema })) };
  };
  const opened = async (storage: Storage) => {
    storages.push(storage);
    await storage.migrate(contextMigrations);
    return storage;
  };

  it.each([
    ['SQLite to PostgreSQL', onSqlite, onPostgres],
    ['PostgreSQL to SQLite', onPostgres, onSqlite],
  ])('from %s ends with all of it, once', async (where, openSource, openTarget) => {
    const name = where.toLowerCase().replaceAll(' ', '_');
    const source = await openSource(`${name}_source`);
    await fill(source.storage);
    const before = await contentsOf(source.storage);

    // PostgreSQL is one of the two at a time, so its schema can be told by one name.
    const setup = (target: { address: string }, targetSchema: string, killAt: number) => ({
      from: source.address,
      to: target.address,
      schema: source.address === server.url ? `${name}_source` : targetSchema,
      killAt,
    });
    const whole = await openTarget(`${name}_whole`);
    const steps = (await runWorker('transfer.mjs', setup(whole, `${name}_whole`, 0))) ?? 0;
    expect(steps).toBeGreaterThan(100);

    // Of each run, so that the next ones have less to do.
    const target = await openTarget(`${name}_target`);
    for (let n = 1; n <= kills; n++) {
      const killAt = Math.floor((steps * 0.4) / n) + n;
      const made = await runWorker('transfer.mjs', setup(target, `${name}_target`, killAt));
      if (made !== undefined) break;
    }
    const finish = await transferContext(source.storage, target.storage, { batchRows: 10 }).catch(
      (error: Error) => error,
    );
    if (finish instanceof Error) expect(finish.message).toContain('has been filled');
    else expect(finish.resumed).toBe(true);
    expect(await contentsOf(target.storage)).toEqual(before);
    expect(await contentsOf(source.storage)).toEqual(before);
  });
});
