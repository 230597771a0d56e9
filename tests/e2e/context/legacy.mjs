/** Migrates a state file: node legacy.mjs '{"database", "schema", "path", "killAt"}'. Says how many steps it took. */
import { killBefore, stepping, stepsMade } from './steps.mjs';

const { migrateLegacyState } = await import('../../../dist/context/legacy.js');
const { SqliteStorage } = await import('../../../dist/storage/sqlite.js');
const { PostgresStorage } = await import('../../../dist/storage/postgres.js');

const { database, schema, path, killAt } = JSON.parse(process.argv[2]);
const storage = schema
  ? new PostgresStorage({ url: database, schema })
  : new SqliteStorage({ path: database });
// Not of the migration: settings of the connection.
await storage.read(function* () {
  yield { sql: 'SELECT 1 AS one', params: [] };
});
killBefore(killAt);
await migrateLegacyState({ storage: stepping(storage), path });
const steps = stepsMade();
killBefore(0);
process.stdout.write(String(steps));
await storage.close();
