import { afterAll, beforeAll } from 'vitest';
import { type PostgresServer, startPostgres } from '../../servers/postgres.js';
import { postgresBench } from '../../unit/context/bench.js';
import { mirrorSuite } from '../../unit/context/mirror.suite.js';

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server?.close());

mirrorSuite('on PostgreSQL', () => postgresBench(server.url, 'mirror'));
