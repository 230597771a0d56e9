import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SqliteStorage } from '../../../ts/storage/sqlite.js';
import { querySuite, type Start } from './query.suite.js';
import { queryCheckSuite } from './query-check.suite.js';
import { queryLargeSuite } from './query-large.suite.js';
import { queryModelSuite } from './query-model.suite.js';

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
queryLargeSuite('on SQLite', start);
queryModelSuite('on SQLite', start, 150);
queryCheckSuite('on SQLite', start);
