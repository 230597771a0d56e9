import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { SqlRecordStore } from '../../../ts/reservations/records/sql-store.js';
import { rows } from '../../../ts/storage/storage.js';
import { sqliteDatabase } from '../../servers/databases.js';
import { recordStoreSuite } from './record-store.suite.js';
import { sqlBench } from './stores.js';

recordStoreSuite('in SQLite', async () => sqlBench(await sqliteDatabase()));

it('who has been alone for too long writes nothing once others have had their turn', async () => {
  const database = await sqliteDatabase();
  const open = async () =>
    SqlRecordStore.open({ storage: await database.connect(), repository: 'one', aloneMs: 20 });
  const [slow, quick] = await Promise.all([open(), open()]);
  const release = {
    id: 'x',
    kind: 'release',
    reservationId: 'r',
    runId: 'a',
    createdAt: new Date(0),
  } as const;
  const work = slow.alone(async () => {
    await sleep(40);
    await quick.alone(() => quick.addAmendment(release));
    await slow.addAmendment({ ...release, id: 'late' });
  });
  await expect(work).rejects.toMatchObject({ code: 'DB_BUSY' });
  expect((await quick.read()).amendments.map(({ id }) => id)).toEqual(['x']);
  await database.close();
});

it('a clock that was put back keeps nobody out', async () => {
  const database = await sqliteDatabase();
  const storage = await database.connect();
  const store = await SqlRecordStore.open({ storage, repository: 'one', patienceMs: 50 });
  await storage.write(() =>
    rows('INSERT INTO reservation_locks VALUES (?, ?, ?)', 'one', 'gone', Date.now() + 86_400_000),
  );
  await expect(store.alone(async () => 'in')).resolves.toBe('in');
  await database.close();
});

it('records that cannot be read are named by their ids', async () => {
  const database = await sqliteDatabase();
  const storage = await database.connect();
  const store = await SqlRecordStore.open({ storage, repository: 'one' });
  for (const [kind, id] of [
    ['reservations', 'bad'],
    ['wishes', 'new'],
  ] as const) {
    await storage.write(() =>
      rows('INSERT INTO reservation_records VALUES (?, ?, ?, ?, 0)', 'one', kind, id, 'null'),
    );
  }
  const { warnings } = await store.read();
  expect(warnings.map(({ subject }) => subject).sort()).toEqual(['bad', 'new']);
  await database.close();
});
