import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SqlRecordStore } from '../../../ts/reservations/records/sql-store.js';
import { rows } from '../../../ts/storage/storage.js';
import type { TestDatabase } from '../../servers/databases.js';

/** What only databases have to promise. */
export function sqlRecordStoreSuite(where: string, start: () => Promise<TestDatabase>): void {
  describe(`a database of records ${where}`, () => {
    let database: TestDatabase;
    beforeEach(async () => {
      database = await start();
    });
    afterEach(() => database.close());

    it('lets who has been alone for too long write nothing once others have had their turn', async () => {
      const open = async () =>
        SqlRecordStore.open({ storage: await database.connect(), repository: 'one', aloneMs: 50 });
      const [slow, quick] = await Promise.all([open(), open()]);
      const release = {
        id: 'x',
        kind: 'release',
        reservationId: 'r',
        runId: 'a',
        createdAt: new Date(0),
      } as const;
      const work = slow.alone(async () => {
        await sleep(60);
        await quick.alone(() => quick.addAmendment(release));
        await slow.addAmendment({ ...release, id: 'late' });
      });
      await expect(work).rejects.toMatchObject({ code: 'DB_BUSY' });
      expect((await quick.read()).amendments.map(({ id }) => id)).toEqual(['x']);
    });

    it('keeps nobody out because a clock was put back', async () => {
      const storage = await database.connect();
      const store = await SqlRecordStore.open({ storage, repository: 'one', patienceMs: 100 });
      await storage.write(() =>
        rows('INSERT INTO reservation_locks VALUES (?, ?, ?)', 'one', 'gone', Date.now() + 86_400_000),
      );
      await expect(store.alone(async () => 'in')).resolves.toBe('in');
    });

    it('names records that it cannot read by their ids', async () => {
      const storage = await database.connect();
      const store = await SqlRecordStore.open({ storage, repository: 'one' });
      const put = (kind: string, id: string) =>
        storage.write(() =>
          rows('INSERT INTO reservation_records VALUES (?, ?, ?, ?, 0)', 'one', kind, id, 'null'),
        );
      await put('reservations', 'bad');
      await put('wishes', 'new');
      const { warnings } = await store.read();
      expect(warnings.map(({ subject }) => subject).sort()).toEqual(['bad', 'new']);
    });

    it('refuses a repository without a name', async () => {
      const storage = await database.connect();
      await expect(SqlRecordStore.open({ storage, repository: '' })).rejects.toMatchObject({
        code: 'INVALID_REQUEST',
      });
    });
  });
}
