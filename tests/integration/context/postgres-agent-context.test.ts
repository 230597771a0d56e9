import { afterAll, beforeAll } from 'vitest';
import { PostgresStorage } from '../../../ts/storage/postgres.js';
import { type PostgresServer, startPostgres } from '../../servers/postgres.js';
import { agentContextSuite, type ContextBench } from '../../unit/context/agent-context.suite.js';

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server?.close());

let n = 0;

const start = async (): Promise<ContextBench> => {
  const schema = `context_${++n}`;
  const storages: PostgresStorage[] = [];
  return {
    open: async () => {
      const storage = new PostgresStorage({ url: server.url, schema });
      storages.push(storage);
      return storage;
    },
    close: async () => {
      for (const storage of storages) await storage.close();
    },
  };
};

agentContextSuite('on PostgreSQL', start);
