/** What the bus promises, on whichever database. */
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventsAfter, recordEvents } from '../../../ts/clutch/store/events.js';
import type { TestDatabase } from '../../servers/databases.js';
import { EventBusRig, noSignal, numbers, said, take, textOf } from './event-bus.rig.js';

export interface SuiteSizes {
  /** What each of 100 producers emits. */
  readonly each: number;
  readonly numRuns: number;
}

export function eventBusSuite(
  name: string,
  backend: () => Promise<TestDatabase>,
  { each, numRuns }: SuiteSizes,
): void {
  describe(`the bus ${name}`, () => {
    let rig: EventBusRig;
    beforeEach(async () => {
      rig = new EventBusRig(await backend());
    });
    afterEach(() => rig.close());

    it(`takes ${each} events of each of 100 producers: each once, and in the order of its producer`, async () => {
      const { bus } = await rig.open({ capacity: 1000 });
      const producers = numbers(1, 100).map(async (producer) => {
        // Some wait for each one to be accepted, some for none.
        const waits = producer % 2 === 0;
        const accepted: Promise<void>[] = [];
        for (let n = 0; n < each; n++) {
          const one = bus.emit(said(String(n), `run${producer}`));
          accepted.push(one);
          if (waits) await one;
        }
        await Promise.all(accepted);
      });
      await Promise.all(producers);
      await bus.recorded();
      const events = await take(bus, 0, 100 * each);
      expect(events.map(({ seq }) => seq)).toEqual(numbers(1, 100 * each));
      const byRun = grouped(events);
      expect(byRun.size).toBe(100);
      for (const own of byRun.values()) expect(own.map(textOf)).toEqual(numbers(0, each - 1).map(String));
    }, 120_000);

    it('shows all who share a database the same events in the same order', async () => {
      const [one, two] = [await rig.open(), await rig.open()];
      const heard: string[][] = [[], []];
      one.bus.on('*', (event) => heard[0]?.push(`${event.seq} ${textOf(event)}`));
      two.bus.on('*', (event) => heard[1]?.push(`${event.seq} ${textOf(event)}`));
      for (let n = 0; n < 50; n++) await (n % 3 ? one : two).bus.emit(said(String(n)));
      await one.storage.write(() =>
        recordEvents(one.storage, [{ ...said('from elsewhere'), at: 1_800_000_000_000 }]),
      );
      const [first, second] = await Promise.all([take(one.bus, 0, 51), take(two.bus, 0, 51)]);
      expect(first).toEqual(second);
      expect(first.map(({ seq }) => seq)).toEqual(numbers(1, 51));
      await expect.poll(() => heard.map((own) => own.length)).toEqual([51, 51]);
      expect(heard[0]).toEqual(first.map((event) => `${event.seq} ${textOf(event)}`));
      expect(heard[1]).toEqual(heard[0]);
    });

    it('gives one that comes back with the last number it has seen all the others, and none again', async () => {
      const [one, two] = [await rig.open({ ringSize: 7 }), await rig.open({ ringSize: 1000 })];
      let total = 0;
      const busOf = (first: boolean) => (first ? one : two).bus;
      const emitBursts = async (bursts: readonly [boolean, number][]) => {
        for (const [first, count] of bursts)
          for (let n = 0; n < count; n++) await busOf(first).emit(said(String(n)));
      };
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 40 })), { minLength: 1, maxLength: 6 }),
          fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 25 })), { minLength: 1, maxLength: 6 }),
          async (bursts, visits) => {
            const start = total;
            total += bursts.reduce((sum, [, count]) => sum + count, 0);
            const emitted = emitBursts(bursts);
            const seen: number[] = [];
            const visit = async ([first, count]: [boolean, number]) => {
              const left = total - start - seen.length;
              const events = await take(busOf(first), start + seen.length, Math.min(count, left));
              seen.push(...events.map(({ seq }) => seq));
            };
            for (const one of visits) await visit(one);
            await emitted;
            await visit([true, total]);
            expect(seen).toEqual(numbers(start + 1, total));
          },
        ),
        { numRuns },
      );
    });

    it('goes on after the database was away, with nothing lost, doubled or out of order', async () => {
      const { bus, storage } = await rig.open({ ringSize: 5 });
      const heard: string[] = [];
      bus.on('text', (event) => heard.push(textOf(event)));
      const followed = take(bus, 0, 30);
      for (let n = 0; n < 10; n++) await bus.emit(said(String(n)));
      await bus.recorded();
      storage.isAway = true;
      for (let n = 10; n < 20; n++) await bus.emit(said(String(n)));
      await expect.poll(() => storage.writes).toBeGreaterThan(4);
      expect(bus.depth).toBe(10);
      storage.isAway = false;
      for (let n = 20; n < 30; n++) await bus.emit(said(String(n)));
      const texts = numbers(0, 29).map(String);
      expect((await followed).map(textOf)).toEqual(texts);
      await expect.poll(() => heard).toEqual(texts);
      await bus.recorded();
      expect(bus.depth).toBe(0);
      expect(rig.warnings[0]).toMatchObject({ code: 'DB_BUSY' });
    });

    it('records once what was committed without an answer', async () => {
      const { bus, storage } = await rig.open();
      await bus.emit(said('before'));
      await bus.recorded();
      storage.answersToLose = 3;
      for (let n = 0; n < 300; n++) await bus.emit(said(String(n)));
      await bus.recorded();
      expect(storage.answersToLose).toBe(0);
      const events = await storage.read(() => eventsAfter(1, 1000));
      expect(events.map(textOf)).toEqual(numbers(0, 299).map(String));
    });

    it('deletes what is older than it keeps, and says so to who asks for that', async () => {
      const { bus, storage } = await rig.open({ keep: 20, ringSize: 10 });
      for (let n = 0; n < 10; n++) {
        for (let i = 0; i < 10; i++) await bus.emit(said(String(n)));
        await bus.recorded();
        await expect.poll(() => bus.last).toBe(10 * (n + 1));
      }
      let oldest = 0;
      // Deleting follows recording.
      const isSettled = async () => {
        const before = oldest;
        oldest = await bus.oldest();
        return oldest === before && oldest > 60;
      };
      await expect.poll(isSettled, { interval: 200 }).toBe(true);
      expect(oldest).toBeLessThanOrEqual(81);
      expect(await storage.read(() => eventsAfter(0, 1000))).toHaveLength(101 - oldest);
      expect(await take(bus, oldest - 1, 101 - oldest)).toHaveLength(101 - oldest);
      await expect(bus.follow(oldest - 2, noSignal).next()).rejects.toMatchObject({
        code: 'EVENTS_GONE',
        fields: { after: oldest - 2, oldest },
      });
      await expect(bus.follow(1000, noSignal).next()).rejects.toMatchObject({
        code: 'EVENTS_GONE',
        fields: { oldest, last: 100 },
      });
    });
  });
}

function grouped<T extends { readonly run_id: string }>(events: readonly T[]): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const event of events) {
    const group = groups.get(event.run_id);
    if (group) group.push(event);
    else groups.set(event.run_id, [event]);
  }
  return groups;
}
