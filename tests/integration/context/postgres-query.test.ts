import { afterAll, beforeAll } from 'vitest';
import { PostgresStorage } from '../../../ts/storage/postgres.js';
import { type PostgresServer, startPostgres } from '../../servers/postgres.js';
import { querySuite, type Start } from '../../unit/context/query.suite.js';
import { queryCheckSuite } from '../../unit/context/query-check.suite.js';
import { queryModelSuite } from '../../unit/context/query-model.suite.js';

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server?.close());

let n = 0;

const start: Start = async () => {
  const storage = new PostgresStorage({ url: server.url, schema: `query_${++n}` });
  return { storage, close: () => storage.close() };
};

querySuite('on PostgreSQL', start);
queryModelSuite('on PostgreSQL', start, 60);
queryCheckSuite('on PostgreSQL', start);
