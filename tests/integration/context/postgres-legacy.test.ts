import { afterAll, beforeAll } from 'vitest';
import { type PostgresServer, startPostgres } from '../../servers/postgres.js';
import { postgresBench } from '../../unit/context/bench.js';
import { legacySuite } from '../../unit/context/legacy.suite.js';

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server?.close());

legacySuite('on PostgreSQL', () => postgresBench(server.url, 'legacy'));
