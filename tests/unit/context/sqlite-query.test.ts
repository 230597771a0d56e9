import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SqliteStorage } from '../../../ts/storage/sqlite.js';
import { querySuite, type Start } from './query.suite.js';

const start: Start = async () => {
  const folder = mkdtempSync(join(tmpdir(), 'stomp-query-'));
  const storage = new SqliteStorage({ path: join(folder, 'stomp.db') });
  return {
    storage,
    close: async () => {
      await storage.close();
      rmSync(folder, { recursive: true });
    },
  };
};

querySuite('on SQLite', start);
