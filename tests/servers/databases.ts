/** Databases that nobody else uses, for suites that run on both kinds. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PostgresStorage } from '../../ts/storage/postgres.js';
import { SqliteStorage } from '../../ts/storage/sqlite.js';
import type { Storage } from '../../ts/storage/storage.js';

export interface TestDatabase {
  /** The same one each time, as another process would open it. */
  connect(): Promise<Storage>;
  /** Closes all connections. */
  close(): Promise<void>;
}

/** A file of its own, which is gone afterwards. */
export async function sqliteDatabase(): Promise<TestDatabase> {
  const folder = mkdtempSync(join(tmpdir(), 'stomp-database-'));
  const connect = () => new SqliteStorage({ path: join(folder, 'stomp.db') });
  return database(connect, () => rmSync(folder, { recursive: true }));
}

let schemas = 0;

/** A schema of its own on a server. */
export async function postgresDatabase(url: string): Promise<TestDatabase> {
  const schema = `test_${++schemas}`;
  return database(
    () => new PostgresStorage({ url, schema }),
    () => undefined,
  );
}

function database(connect: () => Storage, remove: () => void): TestDatabase {
  const storages: Storage[] = [];
  return {
    connect: async () => {
      const storage = connect();
      storages.push(storage);
      return storage;
    },
    close: async () => {
      for (const storage of storages) await storage.close();
      remove();
    },
  };
}
