import { afterAll, beforeAll } from 'vitest';
import { postgresDatabase } from '../../servers/databases.js';
import { type PostgresServer, startPostgres } from '../../servers/postgres.js';
import { recordStoreSuite } from '../../unit/reservations/record-store.suite.js';
import { sqlRecordStoreSuite } from '../../unit/reservations/sql-record-store.suite.js';
import { sqlBench } from '../../unit/reservations/stores.js';

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server?.close());

recordStoreSuite('in PostgreSQL', async () => sqlBench(await postgresDatabase(server.url)));
sqlRecordStoreSuite('in PostgreSQL', () => postgresDatabase(server.url));
