import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { EventBus } from '../../../ts/clutch/events/event-bus.js';
import type { ClutchState, SystemSample } from '../../../ts/clutch/events/state.js';
import { StateStore } from '../../../ts/clutch/events/state-store.js';
import { Gates } from '../../../ts/clutch/gates/gates.js';
import { changeRun, insertRun, takeRun } from '../../../ts/clutch/runs/run-rows.js';
import { recordEvents } from '../../../ts/clutch/store/events.js';
import { runChangeWire, runWire } from '../../../ts/clutch/wire.js';
import { wallClock } from '../../../ts/storage/wall-clock.js';
import { sqliteDatabase } from '../../servers/databases.js';
import { EventBusRig, said } from './event-bus.rig.js';
import type { FlakyStorage } from './flaky-storage.js';
import { testRun } from './run-rows.suite.js';

const sample: SystemSample = {
  at: 1,
  cpu_percent: 2,
  rss_bytes: 3,
  heap_bytes: 4,
  loop_delay_p99_ms: 5,
  queue_depth: 6,
};

describe('the state of the clutch', () => {
  let rig: EventBusRig;
  let storage: FlakyStorage;
  let bus: EventBus;
  let gates: Gates;
  let tellSample: ((sample: SystemSample) => void) | undefined;
  const stores: StateStore[] = [];

  beforeEach(async () => {
    rig = new EventBusRig(await sqliteDatabase());
    ({ bus, storage } = await rig.open());
    gates = new Gates({
      storage,
      clock: wallClock(storage),
      revise: (_gate, payload) => Promise.resolve({ payload, preview: { title: '' } }),
      onWarning: (error) => rig.warnings.push(error),
    });
  });
  afterEach(async () => {
    for (const store of stores.splice(0)) await store.close();
    await gates.close();
    await rig.close();
  });

  function open(of: Pick<EventBus, 'follow'> = bus): StateStore {
    const sampler = {
      last: sample,
      on: (listener: (sample: SystemSample) => void) => {
        tellSample = listener;
        return () => {
          tellSample = undefined;
        };
      },
    };
    const onWarning = (error: unknown) => rig.warnings.push(error);
    const store = new StateStore({ storage, bus: of, sampler, retryMs: 5, onWarning });
    stores.push(store);
    return store;
  }

  async function startRun(id: string): Promise<void> {
    const run = testRun(id);
    await storage.write(function* () {
      yield* insertRun(run);
      yield* recordEvents(storage, [{ type: 'run_started', run_id: id, at: 1, body: { run: runWire(run) } }]);
    });
  }

  async function endRun(id: string): Promise<void> {
    await storage.write(function* () {
      const hold = yield* takeRun(id, 'me', 1, 1000);
      if (!hold) throw new Error('held');
      const run = yield* changeRun(hold, { status: 'done', ended: true }, 7);
      yield* recordEvents(storage, [
        { type: 'run_changed', run_id: id, at: 7, body: { run: runChangeWire(run) } },
      ]);
    });
  }

  const openGate = (id: string) =>
    gates.open({
      id,
      runId: 'run1',
      kind: 'confirm',
      tool: 'run_script',
      payload: { script: 'make' },
      preview: { title: 'Run make' },
      requester: 'ann',
      timeoutMs: 3_600_000,
    });
  const decide = (id: string) =>
    gates.decide(id, {
      decision: 'approve',
      revision: 1,
      by: 'eve',
      remember: { tool: 'run_script', folder: '/work' },
    });

  /** But for what streams. */
  const kept = ({ runs, approvals, rules }: ClutchState) => ({
    runs: Object.values(runs).map(({ live: _live, activity: _activity, ...run }) => run),
    approvals,
    rules,
  });

  it('is the same, read from rows or made of events', async () => {
    const early = open();
    await early.start();
    expect(early.snapshot()).toEqual({ seq: 0, runs: {}, approvals: {}, rules: {}, system: sample });
    for (const id of ['run1', 'run2']) await startRun(id);
    for (const id of ['g1', 'g2']) await openGate(id);
    await decide('g1');
    await endRun('run2');
    const late = open();
    await late.start();
    expect(late.snapshot().seq).toBe(7);
    expect(late.snapshot()).toMatchObject({
      runs: { run1: { status: 'idle', activity: [] }, run2: { status: 'done', ended_at: 7 } },
      approvals: { g1: { status: 'approved' }, g2: { status: 'pending' } },
    });
    expect(Object.values(late.snapshot().rules)).toMatchObject([{ tool: 'run_script' }]);
    await expect.poll(() => early.snapshot().seq).toBe(7);
    expect(kept(early.snapshot())).toEqual(kept(late.snapshot()));
  });

  it('follows what happens, and tells of each change, whatever a listener throws', async () => {
    const store = open();
    await startRun('run1');
    await store.start();
    const texts: unknown[] = [];
    store.subscribe(() => {
      throw new Error('thrown');
    });
    const leave = store.subscribe((state) => texts.push(state.runs.run1?.live?.text));
    await bus.emit(said('he'));
    await bus.emit(said('llo'));
    await expect.poll(() => texts).toEqual(['he', 'hello']);
    leave();
    await bus.emit(said('!'));
    await expect.poll(() => store.snapshot().runs.run1?.live?.text).toBe('hello!');
    expect(texts).toHaveLength(2);
    expect(rig.warnings).toHaveLength(3);
  });

  it('shows how the process is', async () => {
    const store = open();
    await store.start();
    tellSample?.({ ...sample, queue_depth: 9 });
    expect(store.snapshot().system?.queue_depth).toBe(9);
    await startRun('run1');
    await expect.poll(() => store.snapshot().seq).toBe(1);
    expect(store.snapshot().system?.queue_depth).toBe(9);
    await store.close();
    expect(tellSample).toBeUndefined();
  });

  it('waits for a database that is away, at the start and later', async () => {
    await startRun('run1');
    storage.isAway = true;
    const store = open();
    const started = store.start();
    await expect.poll(() => storage.reads).toBeGreaterThan(5);
    storage.isAway = false;
    await started;
    expect(Object.keys(store.snapshot().runs)).toEqual(['run1']);
    storage.isAway = true;
    await bus.emit(said('hello'));
    await expect.poll(() => storage.writes).toBeGreaterThan(5);
    storage.isAway = false;
    await expect.poll(() => store.snapshot().runs.run1?.live?.text).toBe('hello');
  });

  it('begins anew with the rows where events are gone that it has not seen', async () => {
    const storages = await rig.storage();
    const small = rig.bus(storages, { ringSize: 2, keep: 2 });
    await small.started();
    let follows = 0;
    const store = open({
      follow: (after, signal) => {
        follows++;
        // As if it had been left behind.
        return small.follow(follows === 1 ? 0 : after, signal);
      },
    });
    await startRun('run1');
    for (let n = 0; n < 20; n++) await small.emit(said(String(n)));
    await small.recorded();
    await expect.poll(() => small.last).toBe(21);
    await small.emit(said('20'));
    await small.recorded();
    await expect.poll(() => small.oldest()).toBeGreaterThan(2);
    await store.start();
    await expect.poll(() => follows).toBe(2);
    await small.emit(said('last'));
    await expect.poll(() => store.snapshot().runs.run1?.live?.text).toBe('last');
  });

  it('is over when it is closed, also while it waits', async () => {
    storage.isAway = true;
    const store = open();
    const started = store.start();
    await store.close();
    await expect(started).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
  });
});
