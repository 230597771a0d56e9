import { afterAll, beforeAll, expect, it } from 'vitest';
import { databaseChecks } from '../../../ts/context/database-checks.js';
import { runChecks } from '../../../ts/context/doctor.js';
import { wallClock } from '../../../ts/storage/wall-clock.js';
import { type PostgresServer, startPostgres } from '../../servers/postgres.js';
import { postgresBench } from '../../unit/context/bench.js';
import { doctorSuite } from '../../unit/context/doctor.suite.js';

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server?.close());

doctorSuite('on PostgreSQL', () => postgresBench(server.url, 'doctor'));

it('finds indexes of PostgreSQL that are not valid, and makes them anew', async () => {
  const bench = postgresBench(server.url, 'doctor_index');
  const storage = await bench.open();
  await bench.damage(
    "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'agent_sessions_agent'::regclass",
  );
  const checks = databaseChecks({ storage, migrations: [], clock: wallClock(storage) });
  expect((await runChecks(checks)).findings).toMatchObject([
    { check: 'structure', problem: 'The index agent_sessions_agent is not valid.', repair: null },
  ]);
  expect(await runChecks(checks, { repair: true })).toMatchObject({ ok: true, repaired: 1 });
  expect(await runChecks(checks)).toMatchObject({ ok: true, findings: [] });
  await bench.close();
});
