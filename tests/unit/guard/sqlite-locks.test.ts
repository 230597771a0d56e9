import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SqlTable } from '../../../ts/guard/sql-table.js';
import { SqliteStorage } from '../../../ts/storage/sqlite.js';
import { type Bench, lockManagerSuite } from './lock-manager.suite.js';
import { lockModelSuite } from './lock-model.suite.js';

const start = async (): Promise<Bench> => {
  const folder = mkdtempSync(join(tmpdir(), 'stomp-locks-'));
  const storages: SqliteStorage[] = [];
  return {
    open: async () => {
      const storage = new SqliteStorage({ path: join(folder, 'stomp.db') });
      storages.push(storage);
      return SqlTable.open({ storage });
    },
    close: async () => {
      for (const storage of storages) await storage.close();
      rmSync(folder, { recursive: true });
    },
  };
};

lockManagerSuite('on SQLite', start);
lockModelSuite('on SQLite, of one process', start, 40, 1);
lockModelSuite('on SQLite, of several processes', start, 40, 3);
