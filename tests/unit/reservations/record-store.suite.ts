import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RecordStore } from '../../../ts/reservations/records/store.js';
import { Reservations } from '../../../ts/reservations/reservations.js';
import type { Amendment, Intent, Reservation } from '../../../ts/reservations/types.js';
import type { StoreBench } from './stores.js';

const at = (minute: number) => new Date(Date.UTC(2026, 2, 18, 12, minute));

const reservation = (id: string, expires = 60): Reservation => ({
  reservationId: id,
  runId: 'a',
  branch: 'größe/😀',
  addresses: ['a.py::f', 'ü.py'],
  createdAt: at(0),
  expiresAt: at(expires),
  operation: 'modify',
  leases: { 'code:/a.py': 7 },
  leaseSession: 's',
});
const intent = (id: string, reservationId: string): Intent => ({
  intentId: id,
  reservationId,
  runId: 'a',
  branch: 'main',
  addresses: ['a.py::f'],
  operation: 'delete',
  createdAt: at(1),
  detail: 'all of\nit',
  expiresAt: at(61),
});
const release = (id: string, reservationId: string, minute: number): Amendment => ({
  id,
  kind: 'release',
  reservationId,
  runId: 'a',
  createdAt: at(minute),
});

export function recordStoreSuite(where: string, start: () => Promise<StoreBench>): void {
  describe(`a store of records ${where}`, () => {
    let bench: StoreBench;
    let store: RecordStore;
    beforeEach(async () => {
      bench = await start();
      store = await bench.open();
    });
    afterEach(() => bench.close());

    const everything = async (from = store) => {
      const { reservations, intents, amendments, warnings } = await from.read();
      expect(warnings).toEqual([]);
      return [
        ...reservations.map((it) => it.reservationId),
        ...intents.map((it) => it.intentId),
        ...amendments.map((it) => it.id),
      ].sort();
    };

    it('has nothing at first', async () => {
      expect(await store.read()).toEqual({ reservations: [], intents: [], amendments: [], warnings: [] });
    });

    it('gives back what another has written', async () => {
      const renewal: Amendment = { ...release('n', 'r', 3), kind: 'renewal', expiresAt: at(90) };
      await store.addReservation(reservation('r'));
      await store.addIntent(intent('i', 'r'));
      await store.addAmendment(renewal);
      await store.addAmendment(release('x', 'r', 4));
      const { reservations, intents, amendments } = await (await bench.open()).read();
      expect(reservations).toEqual([reservation('r')]);
      expect(intents).toEqual([intent('i', 'r')]);
      expect([...amendments].sort((a, b) => (a.id < b.id ? -1 : 1))).toEqual([renewal, release('x', 'r', 4)]);
    });

    it('keeps repositories apart', async () => {
      await store.addReservation(reservation('r'));
      expect(await everything(await bench.openOther())).toEqual([]);
    });

    it('never changes a record', async () => {
      await store.addReservation(reservation('r'));
      await expect(store.addReservation(reservation('r', 90))).rejects.toMatchObject({
        code: 'INTERNAL_ERROR',
      });
      expect((await store.read()).reservations).toEqual([reservation('r')]);
    });

    it('writes nothing that it would not read', async () => {
      const addresses = Array.from({ length: 200 }, () => 'ü'.repeat(1000));
      await expect(store.addReservation({ ...reservation('r'), addresses })).rejects.toMatchObject({
        code: 'PAYLOAD_TOO_LARGE',
      });
      expect(await everything()).toEqual([]);
    });

    it('lets one at a time be alone, of however many ask', async () => {
      const stores = await Promise.all(Array.from({ length: 8 }, () => bench.open()));
      let inside = 0;
      let most = 0;
      await Promise.all(
        stores.map((one) =>
          one.alone(async () => {
            most = Math.max(most, ++inside);
            await sleep(2);
            inside--;
          }),
        ),
      );
      expect(most).toBe(1);
    });

    it('is free again after a failure, which is what the caller is told of', async () => {
      const fault = new Error('of the work');
      await expect(store.alone(() => Promise.reject(fault))).rejects.toBe(fault);
      await expect(store.alone(async () => 'next')).resolves.toBe('next');
    });

    it('refuses those who wait for too long, and those who no longer want to', async () => {
      const hasty = await bench.open({ patienceMs: 30 });
      await store.alone(async () => {
        await expect(hasty.alone(async () => 'in')).rejects.toMatchObject({ code: 'DB_BUSY' });
        const waiting = (await bench.open()).alone(async () => 'in', AbortSignal.timeout(30));
        await expect(waiting).rejects.toMatchObject({ code: 'CANCELLED' });
      });
    });

    it('moves aside what ended before a time, with all that belongs to it', async () => {
      await store.addReservation(reservation('expired', 10));
      await store.addReservation(reservation('released'));
      await store.addReservation(reservation('lasting'));
      await store.addReservation(reservation('renewed', 10));
      await store.addIntent(intent('i-expired', 'expired'));
      await store.addIntent(intent('i-lasting', 'lasting'));
      await store.addIntent(intent('i-orphan', 'unknown'));
      await store.addAmendment(release('x-released', 'released', 15));
      await store.addAmendment({ ...release('n-renewed', 'renewed', 5), kind: 'renewal', expiresAt: at(40) });
      // After its end, and of one that is not to be read here.
      await store.addAmendment(release('x-expired', 'expired', 50));
      await store.addAmendment(release('x-unknown', 'unknown', 1));
      expect(await store.archive(at(30))).toBe(5);
      expect(await everything()).toEqual([
        'i-lasting',
        'i-orphan',
        'lasting',
        'n-renewed',
        'renewed',
        'x-unknown',
      ]);
      expect(await store.archive(at(30))).toBe(0);
    });

    it('tells soon of what another has written', async () => {
      const reader = await bench.open();
      await store.addReservation(reservation('r'));
      const changed = reader.changed();
      await store.addReservation(reservation('r2'));
      await changed;
      expect(await everything(reader)).toEqual(['r', 'r2']);
    });

    it('waits for changes no longer than it is wanted', async () => {
      await store.changed(AbortSignal.abort());
    });

    it('gives a symbol to one of all agents who want it only if it is free', async () => {
      const agents = await Promise.all(
        Array.from({ length: 10 }, async () => Reservations.open({ store: await bench.open() })),
      );
      const outcomes = await Promise.allSettled(
        agents.map((agent, i) =>
          agent.reserve({ runId: `agent-${i}`, branch: 'main', addresses: ['a.py::f'], ifFree: true }),
        ),
      );
      expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
      for (const outcome of outcomes) {
        if (outcome.status === 'rejected')
          expect(outcome.reason).toMatchObject({ code: 'RESERVATION_CONFLICT' });
      }
    });
  });
}
