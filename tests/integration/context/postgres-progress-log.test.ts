import { afterAll, beforeAll } from 'vitest';
import { PostgresStorage } from '../../../ts/storage/postgres.js';
import { type PostgresServer, startPostgres } from '../../servers/postgres.js';
import { logRecoverySuite } from '../../unit/context/log-recovery.suite.js';
import type { Backend } from '../../unit/context/progress-log.rig.js';
import { progressLogSuite } from '../../unit/context/progress-log.suite.js';

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server?.close());

let n = 0;

const backend = async (): Promise<Backend> => {
  const schema = `log_${++n}`;
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
};

progressLogSuite('on PostgreSQL', backend);
logRecoverySuite('on PostgreSQL', backend);
