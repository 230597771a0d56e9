import { afterAll, beforeAll, expect, it } from 'vitest';
import { rows } from '../../../ts/storage/storage.js';
import { postgresDatabase } from '../../servers/databases.js';
import { type PostgresServer, startPostgres } from '../../servers/postgres.js';
import { logRecoverySuite } from '../../unit/context/log-recovery.suite.js';
import { entriesOf, Rig, write } from '../../unit/context/progress-log.rig.js';
import { progressLogSuite } from '../../unit/context/progress-log.suite.js';

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server?.close());

const backend = () => postgresDatabase(server.url);

progressLogSuite('on PostgreSQL', backend);
logRecoverySuite('on PostgreSQL', backend);

it('an id that two projects take at the same time on PostgreSQL is that of whoever stores it first', async () => {
  const rig = new Rig(await backend());
  const storage = await rig.storage();
  const log = await rig.open();
  await write(log, rig.project('one'), 'first');
  const other = rig.project('two');
  let waiting: Promise<unknown> | undefined;
  await storage.write(function* () {
    yield* rows(
      `INSERT INTO entries (id, project, line, ts, agent, status, emoji, priority, tags, message, meta, token, sha256)
         VALUES ('x', 'one', 2, 0, 'bob', 'info', 'i', 'low', '[]', 'a', '{}', 1, '')`,
    );
    waiting ??= write(log, other, { message: 'b', id: 'x' }, 'c').catch((error) => error);
    yield* rows('SELECT pg_sleep(0.5)');
  });
  expect(await waiting).toMatchObject({ code: 'ENTRY_EXISTS', fields: { id: 'x', project: 'one' } });
  expect(await entriesOf(storage, other)).toEqual([]);
  await rig.close();
});
