import { afterAll, beforeAll } from 'vitest';
import { postgresDatabase } from '../../servers/databases.js';
import { type PostgresServer, startPostgres } from '../../servers/postgres.js';
import { graphSuite } from '../../unit/guard/graph.suite.js';

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server?.close());

graphSuite('on PostgreSQL', () => postgresDatabase(server.url));
