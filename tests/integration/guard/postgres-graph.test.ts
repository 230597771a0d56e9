import { afterAll, beforeAll } from 'vitest';
import { PostgresStorage } from '../../../ts/storage/postgres.js';
import { type PostgresServer, startPostgres } from '../../servers/postgres.js';
import { graphSuite } from '../../unit/guard/graph.suite.js';

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server?.close());

let n = 0;

graphSuite('on PostgreSQL', async () => {
  const schema = `graph_${++n}`;
  const storages: PostgresStorage[] = [];
  return {
    connect: async () => {
      const storage = new PostgresStorage({ url: server.url, schema });
      storages.push(storage);
      return storage;
    },
    close: async () => {
      for (const storage of storages) await storage.close();
    },
  };
});
