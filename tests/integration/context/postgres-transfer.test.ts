import pg from 'pg';
import { afterAll, beforeAll } from 'vitest';
import { type PostgresServer, startPostgres } from '../../servers/postgres.js';
import { postgresBench, sqliteBench } from '../../unit/context/bench.js';
import { transferSuite } from '../../unit/context/transfer.suite.js';

let server: PostgresServer;
let url: string;
beforeAll(async () => {
  server = await startPostgres();
  url = await inEnglish(server.url);
});
afterAll(() => server?.close());

/** A database that orders texts as people do, if this server can. */
async function inEnglish(address: string): Promise<string> {
  const client = new pg.Client({ connectionString: address });
  await client.connect();
  try {
    await client.query(
      "CREATE DATABASE english LOCALE_PROVIDER icu ICU_LOCALE 'en' LOCALE 'C' TEMPLATE template0",
    );
    return new URL('/english', address).href;
  } catch (error) {
    if (!(error instanceof pg.DatabaseError)) throw error;
    return address; // without ICU, or older than it
  } finally {
    await client.end();
  }
}

const onPostgres = () => postgresBench(url, 'transfer');

transferSuite('from SQLite to PostgreSQL', sqliteBench, onPostgres);
transferSuite('from PostgreSQL to SQLite', onPostgres, sqliteBench);
