/** Moves a context: node transfer.mjs '{"from", "to", "schema", "killAt"}'. Says how many steps it took. */
import { killBefore, stepping, stepsMade } from './steps.mjs';

const { transferContext } = await import('../../../dist/context/transfer.js');
const { SqliteStorage } = await import('../../../dist/storage/sqlite.js');
const { PostgresStorage } = await import('../../../dist/storage/postgres.js');

const { from, to, schema, killAt } = JSON.parse(process.argv[2]);
const open = (address) =>
  address.startsWith('postgres:')
    ? new PostgresStorage({ url: address, schema })
    : new SqliteStorage({ path: address });
const [source, target] = [open(from), open(to)];
killBefore(killAt);
await transferContext(source, stepping(target), { batchRows: 10 });
process.stdout.write(String(stepsMade()));
await Promise.all([source.close(), target.close()]);
