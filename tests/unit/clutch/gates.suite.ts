/** What gates promise, on whichever database. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestOf } from '../../../ts/clutch/gates/gate.js';
import { type Decision, type GateRequest, Gates } from '../../../ts/clutch/gates/gates.js';
import { eventsAfter } from '../../../ts/clutch/store/events.js';
import { clutchMigrations } from '../../../ts/clutch/store/schema.js';
import type { Payload } from '../../../ts/clutch/tools/run-tool.js';
import { StompError } from '../../../ts/errors.js';
import type { Storage } from '../../../ts/storage/storage.js';
import { wallClock } from '../../../ts/storage/wall-clock.js';

const hour = 3_600_000;
const noSignal = new AbortController().signal;

/** @param openStorage each call another connection to one database, which is empty when a test begins */
export function gatesSuite(openStorage: () => Promise<Storage>): void {
  let now: number;
  let storage: Storage;
  let gates: Gates;
  const opened: { gates: Gates; storage: Storage }[] = [];

  /** As another process would have them. */
  async function open(): Promise<{ gates: Gates; storage: Storage }> {
    const own = await openStorage();
    await own.migrate(clutchMigrations);
    const made = new Gates({
      storage: own,
      clock: wallClock(own, () => now),
      revise: (gate, edits: Payload) => {
        const payload = { ...gate.payload, ...edits };
        if (payload.script === 'rm -rf /') throw new StompError('PATH_DENIED', 'Not that.');
        return Promise.resolve({ payload, preview: { title: `Run ${String(payload.script)}` } });
      },
      onWarning: (error) => {
        throw error;
      },
    });
    opened.push({ gates: made, storage: own });
    return { gates: made, storage: own };
  }

  beforeEach(async () => {
    now = 1_800_000_000_000;
    ({ gates, storage } = await open());
  });
  afterEach(async () => {
    for (const one of opened.splice(0)) {
      await one.gates.close();
      await one.storage.close();
    }
  });

  const request = (more: Partial<GateRequest> = {}): GateRequest => ({
    id: 'run1-1-0',
    runId: 'run1',
    kind: 'confirm',
    payload: { script: 'make', base_dir: '/work' },
    preview: { title: 'Run make' },
    requester: 'ann',
    timeoutMs: hour,
    ...more,
  });
  const approve = (more: Partial<Decision> = {}): Decision => ({
    decision: 'approve',
    revision: 1,
    by: 'eve',
    ...more,
  });
  const code = (error: unknown) => (error as StompError).code;

  describe('a gate', () => {
    it('is pending until somebody decides, and then says who and when', async () => {
      const gate = await gates.open(request());
      expect(gate).toMatchObject({
        status: 'pending',
        revision: 1,
        requester: 'ann',
        deadlineAt: now + hour,
      });
      now += 5;
      const decided = await gates.decide(gate.id, approve({ reason: 'fine' }));
      expect(decided).toMatchObject({ status: 'approved', decidedBy: 'eve', decidedAt: now, reason: 'fine' });
      expect(await gates.get(gate.id)).toEqual(decided);
      expect(decided.digest).toBe(gate.digest);
    });

    it('is opened once, however often a run that was cut off asks for it', async () => {
      const gate = await gates.open(request());
      expect(await gates.open(request({ preview: { title: 'other' } }))).toEqual(gate);
      await gates.decide(gate.id, approve());
      expect((await gates.open(request())).status).toBe('approved');
    });

    it('is decided by one of two that decide at once; the other is told', async () => {
      await gates.open(request());
      const { gates: others } = await open();
      const both = await Promise.allSettled([
        gates.decide('run1-1-0', approve({ by: 'eve' })),
        others.decide('run1-1-0', approve({ by: 'bob', decision: 'reject' })),
      ]);
      const refused = both.filter((end) => end.status === 'rejected');
      expect(refused).toHaveLength(1);
      expect(code(refused[0]?.reason)).toBe('APPROVAL_DECIDED');
      const events = await storage.read(() => eventsAfter(0, 100));
      expect(events.filter(({ type }) => type === 'gate_decided')).toHaveLength(1);
    });

    it('keeps what was proposed beside what was made of it', async () => {
      await gates.open(request());
      const gate = await gates.decide('run1-1-0', approve({ edits: { script: 'make test' } }));
      expect(gate).toMatchObject({
        status: 'edited',
        proposed: { script: 'make', base_dir: '/work' },
        payload: { script: 'make test', base_dir: '/work' },
      });
    });

    it('says of what was edited what it would have shown', async () => {
      await gates.open(request());
      const edited = await gates.decide('run1-1-0', {
        decision: 'approve',
        edits: { script: 'make test' },
        revision: 1,
        by: 'eve',
      });
      expect(edited.preview).toEqual({ title: 'Run make test' });
      expect(edited.digest).toBe(digestOf(edited));
    });

    it('stays as it is when an edit is not allowed', async () => {
      await gates.open(request());
      await expect(
        gates.decide('run1-1-0', approve({ edits: { script: 'rm -rf /' } })),
      ).rejects.toMatchObject({
        code: 'PATH_DENIED',
      });
      await expect(gates.decide('run1-1-0', approve({ edits: { user: 'root' } }))).rejects.toMatchObject({
        code: 'INVALID_REQUEST',
        fields: { field: 'edits.user', allowed: ['script', 'base_dir'] },
      });
      expect((await gates.get('run1-1-0')).status).toBe('pending');
    });

    it('cannot be decided by who has seen something else', async () => {
      await gates.open(request());
      const shown = await gates.show('run1-1-0', {
        payload: request().payload,
        preview: { title: 'New diff' },
      });
      expect(shown.revision).toBe(2);
      await expect(gates.decide('run1-1-0', approve())).rejects.toMatchObject({
        code: 'APPROVAL_CHANGED',
        fields: { revision: 2 },
      });
      expect((await gates.decide('run1-1-0', approve({ revision: 2 }))).status).toBe('approved');
    });

    it('that does not exist or was decided cannot be decided', async () => {
      await expect(gates.decide('none', approve())).rejects.toMatchObject({ code: 'APPROVAL_NOT_FOUND' });
      await gates.open(request());
      await gates.decide('run1-1-0', approve({ decision: 'reject', reason: 'no' }));
      await expect(gates.decide('run1-1-0', approve())).rejects.toMatchObject({
        code: 'APPROVAL_DECIDED',
        fields: { status: 'rejected', decided_by: 'eve' },
      });
    });

    it('is denied when its time is over', async () => {
      await gates.open(request());
      const settled = gates.settled('run1-1-0', noSignal);
      now += hour;
      await expect(gates.decide('run1-1-0', approve())).rejects.toMatchObject({ code: 'APPROVAL_EXPIRED' });
      await gates.expire();
      expect((await settled).status).toBe('expired');
      await expect(gates.decide('run1-1-0', approve())).rejects.toMatchObject({ code: 'APPROVAL_EXPIRED' });
    });
  });

  it('is denied when its time was over while the machine slept', async () => {
    await gates.open(request());
    now += hour;
    await expect.poll(async () => (await gates.get('run1-1-0')).status, { timeout: 5000 }).toBe('expired');
  });

  it('are listed with those first that wait, and then with what was decided last', async () => {
    const ids = ['old', 'newer', 'waits', 'waits-too'];
    for (const id of ids) {
      now++;
      await gates.open(request({ id, runId: id === 'old' ? 'run2' : 'run1' }));
    }
    for (const id of ['old', 'newer']) await gates.decide(id, approve());
    const listed = async (filter: Parameters<Gates['list']>[0]) =>
      (await gates.list(filter)).map((gate) => gate.id);
    expect(await listed({})).toEqual(['waits', 'waits-too', 'newer', 'old']);
    expect(await listed({ limit: 3 })).toEqual(['waits', 'waits-too', 'newer']);
    expect(await listed({ runId: 'run1' })).toEqual(['waits', 'waits-too', 'newer']);
    expect(await listed({ status: 'approved' })).toEqual(['newer', 'old']);
    expect(await listed({ status: 'pending', limit: 1 })).toEqual(['waits']);
  });

  describe('who waits', () => {
    it('hears of a decision in another process', async () => {
      await gates.open(request());
      const { gates: others } = await open();
      const settled = gates.settled('run1-1-0', noSignal);
      await others.decide('run1-1-0', approve());
      expect((await settled).status).toBe('approved');
    });

    it('is let go by its signal, and the gate stays', async () => {
      await gates.open(request());
      const leave = new AbortController();
      const settled = gates.settled('run1-1-0', leave.signal);
      leave.abort(new Error('enough'));
      await expect(settled).rejects.toThrow('enough');
      expect((await gates.get('run1-1-0')).status).toBe('pending');
    });

    it('waits for nobody else', async () => {
      await gates.open(request());
      await gates.open(request({ id: 'run2-1-0', runId: 'run2' }));
      const first = gates.settled('run1-1-0', noSignal);
      const second = gates.settled('run2-1-0', noSignal);
      await gates.decide('run2-1-0', approve());
      expect((await second).status).toBe('approved');
      await gates.abortRun('run1', 'eve');
      expect((await first).status).toBe('aborted');
    });
  });

  describe('rules', () => {
    it('come with a decision, are listed, and can be taken back', async () => {
      await gates.open(request());
      await gates.decide('run1-1-0', approve({ remember: { tool: 'run_script', folder: '/work' } }));
      const [rule] = await gates.rules('run1');
      expect(rule).toMatchObject({ tool: 'run_script', folder: '/work', gateId: 'run1-1-0', madeBy: 'eve' });
      await gates.revoke(rule?.id ?? '');
      expect(await gates.rules()).toEqual([]);
      await expect(gates.revoke(rule?.id ?? '')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    });
  });

  it('events are numbered without gaps, whoever writes them', async () => {
    const { gates: others } = await open();
    const ids = Array.from({ length: 20 }, (_, i) => `run1-${i}-0`);
    await Promise.all(ids.map((id, i) => (i % 2 ? gates : others).open(request({ id }))));
    const events = await storage.read(() => eventsAfter(0, 100));
    expect(events.map(({ seq }) => seq)).toEqual(ids.map((_, i) => i + 1));
    expect(await storage.read(() => eventsAfter(18, 100))).toHaveLength(2);
  });
}
