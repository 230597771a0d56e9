import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SqliteStorage } from '../../../ts/storage/sqlite.js';
import { graphSuite } from './graph.suite.js';

graphSuite('on SQLite', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'stomp-graph-'));
  const storages: SqliteStorage[] = [];
  return {
    connect: async () => {
      const storage = new SqliteStorage({ path: join(folder, 'stomp.db') });
      storages.push(storage);
      return storage;
    },
    close: async () => {
      for (const storage of storages) await storage.close();
      rmSync(folder, { recursive: true });
    },
  };
});
