import { expect, it } from 'vitest';
import { databaseChecks } from '../../../ts/context/database-checks.js';
import { runChecks } from '../../../ts/context/doctor.js';
import { wallClock } from '../../../ts/storage/wall-clock.js';
import { addSession, sqliteBench } from './bench.js';
import { doctorSuite } from './doctor.suite.js';

doctorSuite('on SQLite', sqliteBench);

it('finds indexes of SQLite that do not belong to their tables, and makes them anew', async () => {
  const bench = sqliteBench();
  const before = await bench.open();
  for (const id of ['c', 'a', 'b']) await addSession(before, id, { agent: `agent ${id}` });
  await before.close();
  await bench.damage(
    "UPDATE sqlite_master SET sql = replace(sql, '(agent_id, started_at)', '(id, started_at)') WHERE name = 'agent_sessions_agent'",
  );
  const storage = await bench.open();
  const checks = databaseChecks({ storage, migrations: [], clock: wallClock(storage) });
  const found = await runChecks(checks);
  expect(found.findings.length).toBeGreaterThan(0);
  expect(found.findings.every(({ problem }) => problem.includes('agent_sessions_agent'))).toBe(true);
  expect(await runChecks(checks, { repair: true })).toMatchObject({
    ok: true,
    repaired: found.findings.length,
  });
  expect(await runChecks(checks)).toMatchObject({ ok: true, findings: [] });
  await bench.close();
});

it('says what cannot be repaired', async () => {
  const bench = sqliteBench();
  const storage = await bench.open();
  await bench.damage(
    'PRAGMA ignore_check_constraints = ON',
    "INSERT INTO agent_sessions VALUES ('x', 'A', 1, 1, 1, 'asleep', NULL, '{}')",
  );
  const checks = databaseChecks({ storage, migrations: [], clock: wallClock(storage) });
  const report = await runChecks(checks, { repair: true });
  expect(report).toMatchObject({ ok: false, repaired: 0 });
  expect(report.findings).toMatchObject([
    {
      check: 'structure',
      problem: expect.stringContaining('CHECK constraint failed in agent_sessions'),
      repair: null,
    },
  ]);
  await bench.close();
});
