import { afterAll, beforeAll } from 'vitest';
import { SqlTable } from '../../../ts/guard/sql-table.js';
import { PostgresStorage } from '../../../ts/storage/postgres.js';
import { type PostgresServer, startPostgres } from '../../servers/postgres.js';
import { type Bench, lockManagerSuite } from '../../unit/guard/lock-manager.suite.js';
import { lockModelSuite } from '../../unit/guard/lock-model.suite.js';

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server?.close());

let n = 0;

const start = async (): Promise<Bench> => {
  const schema = `locks_${++n}`;
  const storages: PostgresStorage[] = [];
  return {
    open: async () => {
      const storage = new PostgresStorage({ url: server.url, schema });
      storages.push(storage);
      return SqlTable.open({ storage });
    },
    close: async () => {
      for (const storage of storages) await storage.close();
    },
  };
};

lockManagerSuite('on PostgreSQL', start);
lockModelSuite('on PostgreSQL, of several machines', start, 20, 3);
