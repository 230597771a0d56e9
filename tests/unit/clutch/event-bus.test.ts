import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ClutchEvent, EmittedEvent } from '../../../ts/clutch/events/event.js';
import { eventsAfter } from '../../../ts/clutch/store/events.js';
import { rows } from '../../../ts/storage/storage.js';
import { sqliteDatabase } from '../../servers/databases.js';
import { EventBusRig, noSignal, numbers, said, take, textOf } from './event-bus.rig.js';
import { eventBusSuite } from './event-bus.suite.js';

eventBusSuite('on SQLite', sqliteDatabase, { each: 1000, numRuns: 25 });

describe('the bus', () => {
  let rig: EventBusRig;
  beforeEach(async () => {
    rig = new EventBusRig(await sqliteDatabase());
  });
  afterEach(() => rig.close());

  describe('with as many events waiting as it takes', () => {
    it('lets the next ones wait for room, in their order', async () => {
      const { bus, storage } = await rig.open({ capacity: 3 });
      storage.isAway = true;
      const accepted: number[] = [];
      const emitted = numbers(1, 8).map((n) => bus.emit(said(String(n))).then(() => accepted.push(n)));
      await expect.poll(() => storage.writes).toBeGreaterThan(3);
      expect(accepted).toEqual([1, 2, 3]);
      expect(bus.depth).toBe(3);
      storage.isAway = false;
      await Promise.all(emitted);
      expect(accepted).toEqual(numbers(1, 8));
      await bus.recorded();
      const events = await storage.read(() => eventsAfter(0, 100));
      expect(events.map(textOf)).toEqual(numbers(1, 8).map(String));
    });

    it('never holds more', async () => {
      const { bus } = await rig.open({ capacity: 50 });
      let deepest = 0;
      bus.on('*', () => {
        deepest = Math.max(deepest, bus.depth);
      });
      const emitted = numbers(1, 1000).map((n) =>
        bus.emit(said(String(n))).then(() => {
          deepest = Math.max(deepest, bus.depth);
        }),
      );
      await Promise.all(emitted);
      await bus.recorded();
      expect(deepest).toBe(50);
    });
  });

  describe('takes only what belongs to the closed set:', () => {
    const wrong: [string, unknown][] = [
      ['type', { type: 'call_anything', run_id: 'r', body: {} }],
      ['type', { type: 'toString', run_id: 'r', body: {} }],
      ['run_id', { ...said('a'), run_id: '' }],
      ['body', { ...said('a'), body: ['a'] }],
      ['body.text', { ...said('a'), body: { reasoning: '' } }],
      ['body', { ...said('a'), body: { text: '', reasoning: '', more: 1 } }],
      ['body.run', { type: 'run_changed', run_id: 'r', body: { run: { id: 'r', status: 'asleep' } } }],
      ['body.messages', requestStart({ messages: -1 })],
      ['body.ms', response({ ms: Number.NaN })],
      ['body.finish', response({ finish: 'tired' })],
      ['body.calls', response({ calls: [{ id: 'a', name: 5, arguments: '{}' }] })],
      ['body.failed', execution({ failed: 'no' })],
    ];
    it.each(wrong)('no other %s', async (field, event) => {
      const { bus, storage } = await rig.open();
      await expect(bus.emit(event as EmittedEvent)).rejects.toMatchObject({
        code: 'INVALID_REQUEST',
        fields: { field },
      });
      await bus.emit(requestStart({}));
      await bus.emit(response({}));
      await bus.emit(execution({}));
      await bus.recorded();
      expect(await storage.read(() => eventsAfter(0, 100))).toHaveLength(3);
    });
  });

  describe('listeners', () => {
    it('hear of the types they want, once recorded, until they have enough', async () => {
      const { bus, storage } = await rig.open();
      const heard: string[] = [];
      const stored: Promise<number>[] = [];
      const leave = bus.on('text', (event) => {
        heard.push(event.body.text);
        stored.push(storage.read(() => eventsAfter(event.seq - 1, 1)).then((found) => found.length));
      });
      await bus.emit(requestStart({}));
      await bus.emit(said('a'));
      await expect.poll(() => heard).toEqual(['a']);
      expect(await Promise.all(stored)).toEqual([1]);
      leave();
      await bus.emit(said('b'));
      await bus.recorded();
      await expect.poll(() => bus.last).toBe(3);
      expect(heard).toEqual(['a']);
    });

    it('that throw or reject disturb neither who emits nor other listeners', async () => {
      const { bus } = await rig.open();
      const heard: string[] = [];
      bus.on('*', () => {
        throw new Error('thrown');
      });
      bus.on('text', () => Promise.reject(new Error('rejected')));
      bus.on('text', (event) => heard.push(textOf(event)));
      for (const text of ['a', 'b']) await bus.emit(said(text));
      await expect.poll(() => heard).toEqual(['a', 'b']);
      await expect
        .poll(() => rig.warnings.map((error) => (error as Error).message).sort())
        .toEqual(['rejected', 'rejected', 'thrown', 'thrown']);
    });

    it('that are slow are not waited for', async () => {
      const { bus } = await rig.open();
      let calls = 0;
      bus.on('*', () => {
        calls++;
        return new Promise(() => undefined);
      });
      for (const text of ['a', 'b', 'c']) await bus.emit(said(text));
      await expect.poll(() => calls).toBe(3);
    });

    it('hear what was emitted right after the bus was made', async () => {
      const bus = rig.bus(await rig.storage());
      const heard: string[] = [];
      bus.on('*', (event) => heard.push(textOf(event)));
      await bus.emit(said('early'));
      await expect.poll(() => heard).toEqual(['early']);
    });
  });

  describe('one that follows', () => {
    it('slowly holds up nobody else, and misses nothing', async () => {
      const { bus } = await rig.open({ ringSize: 10 });
      const slow = bus.follow(0, noSignal);
      await bus.emit(said('0'));
      const seen = [(await slow.next()).value as ClutchEvent];
      for (let n = 1; n < 1000; n++) await bus.emit(said(String(n)));
      expect(await take(bus, 0, 1000)).toHaveLength(1000);
      while (seen.length < 1000) seen.push((await slow.next()).value as ClutchEvent);
      expect(seen.map(textOf)).toEqual(numbers(0, 999).map(String));
    });

    it('closely is served from memory: one reads for all', async () => {
      const { bus, storage } = await rig.open();
      const followers = numbers(1, 20).map(() => take(bus, 0, 100));
      await bus.emit(said('0'));
      await expect.poll(() => bus.last).toBe(1);
      const before = storage.reads;
      for (let n = 1; n < 100; n++) await bus.emit(said(String(n)));
      for (const events of await Promise.all(followers)) expect(events).toHaveLength(100);
      expect(storage.reads - before).toBeLessThan(110);
    });

    it('ends with its signal, and with the bus', async () => {
      const { bus } = await rig.open();
      const leave = new AbortController();
      const [left, closed] = [bus.follow(0, leave.signal).next(), bus.follow(0, noSignal).next()];
      leave.abort();
      expect(await left).toEqual({ done: true, value: undefined });
      await bus.close();
      expect(await closed).toEqual({ done: true, value: undefined });
    });

    it('must say from where on', async () => {
      const { bus } = await rig.open();
      expect(() => bus.follow(-1, noSignal)).toThrow(expect.objectContaining({ code: 'INVALID_REQUEST' }));
    });
  });

  it('leaves out an event that cannot be recorded, and no other', async () => {
    const { bus, storage } = await rig.open();
    await storage.write(() =>
      rows(`CREATE TRIGGER refused BEFORE INSERT ON clutch_events WHEN new.run_id = 'bad'
        BEGIN SELECT RAISE(ABORT, 'not this one'); END`),
    );
    const circular: Record<string, unknown> = {};
    circular.self = circular;
    await Promise.all([
      bus.emit(said('a')),
      bus.emit(said('b', 'bad')),
      bus.emit(said('c')),
      bus.emit(execution({ payload: circular })),
      bus.emit(said('d')),
    ]);
    await bus.recorded();
    const events = await storage.read(() => eventsAfter(0, 100));
    expect(events.map((event) => [event.seq, textOf(event)])).toEqual([
      [1, 'a'],
      [2, 'c'],
      [3, 'd'],
    ]);
    const left = rig.warnings.filter((error) => /It is left out/.test(String(error)));
    expect(left).toHaveLength(2);
  });

  it('says of each event when it happened, however late it was recorded', async () => {
    const { bus, storage } = await rig.open();
    storage.isAway = true;
    const before = Date.now();
    await bus.emit(said('a'));
    const after = Date.now();
    await expect.poll(() => Date.now()).toBeGreaterThan(after + 100);
    storage.isAway = false;
    const [event] = await take(bus, 0, 1);
    expect(event?.at).toBeGreaterThanOrEqual(before - 2);
    expect(event?.at).toBeLessThanOrEqual(after + 20);
  });

  describe('that is closed', () => {
    it('takes nothing more, and has recorded what it took', async () => {
      const { bus, storage } = await rig.open({ capacity: 10 });
      const emitted = numbers(1, 100).map((n) => bus.emit(said(String(n))));
      await bus.close();
      await Promise.all(emitted);
      await expect(bus.emit(said('late'))).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
      expect(await storage.read(() => eventsAfter(0, 1000))).toHaveLength(100);
      expect(await storage.read(() => rows('SELECT * FROM clutch_batches'))).toEqual([]);
      expect(rig.warnings).toEqual([]);
    });

    it('does not wait for ever for a database that is away, and says what is lost', async () => {
      const { bus, storage } = await rig.open({ capacity: 2 });
      storage.isAway = true;
      const emitted = Promise.allSettled(numbers(1, 3).map((n) => bus.emit(said(String(n)))));
      await bus.close();
      expect((await emitted).map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected']);
      expect(rig.warnings.at(-1)).toMatchObject({ code: 'SHUTTING_DOWN', fields: { events: 2 } });
    });
  });
});

function requestStart(more: object): EmittedEvent<'request_start'> {
  return {
    type: 'request_start',
    run_id: 'run1',
    body: { round: 1, provider: 'engine', model: 'm', messages: 2, ...more },
  };
}

function response(more: object): EmittedEvent<'response_received'> {
  return {
    type: 'response_received',
    run_id: 'run1',
    body: { round: 1, finish: 'stop', ms: 12.5, text: 'hello', calls: [], ...more },
  };
}

function execution(more: object): EmittedEvent<'tool_execution'> {
  return {
    type: 'tool_execution',
    run_id: 'run1',
    body: { phase: 'start', call_id: 'c', tool: 'read_file', payload: {}, ...more },
  };
}
