import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SqlTable } from '../../../ts/guard/sql-table.js';
import { SqliteStorage } from '../../../ts/storage/sqlite.js';
import { lockManagerSuite } from './lock-manager.suite.js';

lockManagerSuite('on SQLite', async () => {
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
});
