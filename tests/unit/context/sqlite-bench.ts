import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SqliteStorage } from '../../../ts/storage/sqlite.js';
import type { ContextBench } from './agent-context.suite.js';

/** A file of its own. */
export async function sqliteBench(): Promise<ContextBench> {
  const folder = mkdtempSync(join(tmpdir(), 'stomp-context-db-'));
  const storages: SqliteStorage[] = [];
  return {
    open: async () => {
      const storage = new SqliteStorage({ path: join(folder, 'stomp.db') });
      storages.push(storage);
      return storage;
    },
    close: async () => {
      for (const storage of storages) await storage.close();
      rmSync(folder, { recursive: true });
    },
  };
}
