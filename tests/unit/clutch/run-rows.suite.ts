/** What rows of runs and of their effects promise, on whichever database. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  type Effect,
  effectsOf,
  endEffect,
  insertEffect,
  startEffect,
} from '../../../ts/clutch/runs/effect-rows.js';
import { freshState, type Run } from '../../../ts/clutch/runs/run.js';
import {
  abortRow,
  changeRun,
  dropHold,
  findRun,
  type Hold,
  insertMessage,
  insertRun,
  listRuns,
  messagesOf,
  openRuns,
  orphans,
  renewHold,
  takeRun,
} from '../../../ts/clutch/runs/run-rows.js';
import { clutchMigrations } from '../../../ts/clutch/store/schema.js';
import type { Storage } from '../../../ts/storage/storage.js';
import type { TestDatabase } from '../../servers/databases.js';

const start = 1_800_000_000_000;
const holdMs = 1000;

export function testRun(id: string, more: Partial<Run> = {}): Run {
  return {
    id,
    agentId: 'agent',
    sessionId: 'session',
    parentId: undefined,
    trackId: undefined,
    ticketId: undefined,
    status: 'idle',
    request: {
      prompt: 'Do it.',
      stableMd: '',
      fileItems: ['a.ts'],
      discText: '',
      baseDir: '/work',
      provider: 'engine',
      model: 'm',
      temperature: 0,
      maxTokens: 8192,
      gate: 'all',
      gateTimeoutMs: 1000,
    },
    state: freshState,
    error: undefined,
    createdAt: start,
    updatedAt: start,
    endedAt: undefined,
    ...more,
  };
}

export function runRowsSuite(name: string, backend: () => Promise<TestDatabase>): void {
  let database: TestDatabase;
  let one: Storage;
  /** As another process would have it. */
  let two: Storage;
  beforeEach(async () => {
    database = await backend();
    one = await database.connect();
    two = await database.connect();
    await one.migrate(clutchMigrations);
    await one.write(() => insertRun(testRun('run1')));
  });
  afterEach(() => database.close());

  const take = async (storage: Storage, owner: string, now = start): Promise<Hold> => {
    const hold = await storage.write(() => takeRun('run1', owner, now, holdMs));
    if (!hold) throw new Error(`${owner} could not take the run`);
    return hold;
  };
  const find = async () => {
    const run = await two.read(() => findRun('run1'));
    if (!run) throw new Error('the run is gone');
    return run;
  };

  describe(`a run as a row ${name}`, () => {
    it('comes back as it was put in', async () => {
      expect(await find()).toEqual(testRun('run1'));
      const child = testRun('run2', {
        parentId: 'run1',
        trackId: 'run1',
        ticketId: 't',
        createdAt: start + 1,
        status: 'sending',
        state: { ...freshState, rounds: 3, output: 'héllo\u0000' },
      });
      await one.write(() => insertRun(child));
      expect(await two.read(() => findRun('run2'))).toEqual(child);
      expect(await two.read(() => findRun('none'))).toBeUndefined();
      expect(
        (await two.read(() => listRuns({ status: undefined, parentId: undefined, limit: 10 }))).map(
          ({ id }) => id,
        ),
      ).toEqual(['run2', 'run1']);
      expect(
        (await two.read(() => listRuns({ status: undefined, parentId: 'run1', limit: 10 }))).map(
          ({ id }) => id,
        ),
      ).toEqual(['run2']);
      expect(
        await two.read(() => listRuns({ status: undefined, parentId: undefined, limit: 1 })),
      ).toHaveLength(1);
    });

    it('is worked on by one process, until that lets it go or its time is over', async () => {
      expect(await one.read(() => orphans(start))).toEqual(['run1']);
      const hold = await take(one, 'one');
      expect(hold).toEqual({ runId: 'run1', owner: 'one', epoch: 1 });
      expect(await one.read(() => orphans(start))).toEqual([]);
      expect(await two.write(() => takeRun('run1', 'two', start + holdMs - 1, holdMs))).toBeUndefined();
      expect(await take(two, 'two', start + holdMs)).toMatchObject({ epoch: 2 });
      const second = { ...hold, epoch: 2 };
      await two.write(() => dropHold(second));
      expect(await one.read(() => orphans(start))).toEqual(['run1']);
      expect(await take(one, 'one', start)).toMatchObject({ epoch: 3 });
    });

    it('is taken by one of many that try at once', async () => {
      const tries = Array.from({ length: 10 }, (_, i) =>
        (i % 2 ? one : two).write(() => takeRun('run1', `owner${i}`, start, holdMs)),
      );
      expect((await Promise.all(tries)).filter((hold) => hold !== undefined)).toHaveLength(1);
    });

    it('stays held for as long as that is renewed, by who holds it', async () => {
      const hold = await take(one, 'one');
      expect(await one.write(() => renewHold(hold, start + 900, holdMs))).toBe(true);
      expect(await two.write(() => takeRun('run1', 'two', start + 1800, holdMs))).toBeUndefined();
      await take(two, 'two', start + 1900);
      expect(await one.write(() => renewHold(hold, start + 1900, holdMs))).toBe(false);
      const old = { ...hold };
      await one.write(() => dropHold(old));
      expect(await one.read(() => orphans(start + 1900))).toEqual([]);
    });

    it('is not held any more once let go', async () => {
      const hold = await take(one, 'one');
      await one.write(() => dropHold(hold));
      expect(await one.write(() => renewHold(hold, start, holdMs))).toBe(false);
    });

    it('is changed by who holds it, field by field', async () => {
      const hold = await take(one, 'one');
      await one.write(() => changeRun(hold, { status: 'sending' }, start + 1));
      expect(await find()).toMatchObject({ status: 'sending', state: freshState, updatedAt: start + 1 });
      const state = { ...freshState, rounds: 2 };
      const changed = await one.write(() => changeRun(hold, { state }, start + 2));
      expect(changed).toMatchObject({ status: 'sending', state, updatedAt: start + 2, endedAt: undefined });
      expect(await find()).toEqual(changed);
    });

    it('is not changed by a process from which it was taken', async () => {
      const hold = await take(one, 'one');
      const next = await take(two, 'two', start + holdMs);
      await expect(one.write(() => changeRun(hold, { status: 'done' }, start))).rejects.toMatchObject({
        code: 'LEASE_LOST',
        fields: { run: 'run1' },
      });
      expect((await find()).status).toBe('idle');
      await two.write(() => changeRun(next, { status: 'sending' }, start));
      expect((await find()).status).toBe('sending');
    });

    it('that is over is neither changed, held, taken nor aborted', async () => {
      const hold = await take(one, 'one');
      const error = { code: 'PROVIDER_FAILED', message: 'away' } as const;
      const ended = await one.write(() =>
        changeRun(hold, { status: 'error', error, ended: true }, start + 5),
      );
      expect(ended).toMatchObject({ status: 'error', error, endedAt: start + 5 });
      const change = one.write(() => changeRun(hold, { status: 'sending' }, start + 6));
      await expect(change).rejects.toMatchObject({ code: 'LEASE_LOST' });
      expect(await one.write(() => renewHold(hold, start, holdMs))).toBe(false);
      expect(await one.write(() => takeRun('run1', 'two', start + holdMs, holdMs))).toBeUndefined();
      expect(await one.write(() => abortRow('run1', start))).toBeUndefined();
      expect(await one.read(() => orphans(start + 10 * holdMs))).toEqual([]);
      expect(await one.read(openRuns)).toEqual([]);
      expect(await find()).toEqual(ended);
    });

    it('is aborted by anybody, once, and who works on it finds that out', async () => {
      const hold = await take(one, 'one');
      expect((await one.read(openRuns)).map(({ id }) => id)).toEqual(['run1']);
      const both = await Promise.all([one, two].map((own) => own.write(() => abortRow('run1', start + 7))));
      const [aborted, ...others] = both.filter((run) => run !== undefined);
      expect(others).toEqual([]);
      expect(aborted).toMatchObject({ status: 'aborted', endedAt: start + 7, updatedAt: start + 7 });
      await expect(one.write(() => changeRun(hold, { status: 'done' }, start))).rejects.toMatchObject({
        code: 'LEASE_LOST',
      });
      expect(await two.write(() => abortRow('none', start))).toBeUndefined();
    });

    it('keeps its messages in order, each number once', async () => {
      const message = (text: string) => ({ role: 'user', text }) as const;
      for (const n of [1, 2, 3]) await one.write(() => insertMessage('run1', n, message(String(n)), start));
      expect(await two.read(() => messagesOf('run1'))).toEqual(['1', '2', '3'].map(message));
      await expect(two.write(() => insertMessage('run1', 2, message('other'), start))).rejects.toMatchObject({
        code: 'DB_BUSY',
      });
      expect(await two.read(() => messagesOf('run2'))).toEqual([]);
    });
  });

  describe(`an effect as a row ${name}`, () => {
    const proposed: Effect = {
      runId: 'run1',
      n: 2,
      position: 0,
      tool: 'run_script',
      kind: 'write',
      payload: { script: 'make' },
      gateId: 'gate1',
      state: 'proposed',
      outcome: undefined,
    };
    const only = async () => {
      const [effect, ...others] = await two.read(() => effectsOf('run1', 2));
      expect(others).toEqual([]);
      return effect;
    };
    const begin = (storage: Storage, epoch: number, again?: boolean): Promise<boolean> =>
      storage.write(() =>
        startEffect(proposed, epoch, { script: 'make test' }, start + 1, again ? {} : undefined),
      );

    it('is written once, however often the same call is put down', async () => {
      await one.write(() => insertEffect(proposed, start));
      await two.write(() => insertEffect({ ...proposed, payload: { script: 'other' } }, start));
      expect(await only()).toEqual(proposed);
    });

    it('comes in the order of its message', async () => {
      for (const position of [2, 0, 1]) await one.write(() => insertEffect({ ...proposed, position }, start));
      await one.write(() => insertEffect({ ...proposed, n: 4 }, start));
      const effects = await two.read(() => effectsOf('run1', 2));
      expect(effects.map(({ position }) => position)).toEqual([0, 1, 2]);
    });

    it('is started once, with what was decided to run', async () => {
      const { epoch } = await take(one, 'one');
      await one.write(() => insertEffect(proposed, start));
      const both = await Promise.all([begin(one, epoch), begin(two, epoch)]);
      expect(both.sort()).toEqual([false, true]);
      expect(await only()).toEqual({ ...proposed, state: 'started', payload: { script: 'make test' } });
    });

    it('is not started by a process from which the run was taken, nor once the run is over', async () => {
      const { epoch } = await take(one, 'one');
      await one.write(() => insertEffect(proposed, start));
      const next = await take(two, 'two', start + holdMs);
      expect(await begin(one, epoch)).toBe(false);
      await two.write(() => abortRow('run1', start));
      expect(await begin(two, next.epoch)).toBe(false);
      expect(await only()).toEqual(proposed);
    });

    it('that a crash has left started is started again only where a person wants that', async () => {
      const { epoch } = await take(one, 'one');
      await one.write(() => insertEffect(proposed, start));
      expect(await begin(one, epoch, true)).toBe(false);
      expect(await begin(one, epoch)).toBe(true);
      expect(await begin(one, epoch)).toBe(false);
      expect(await begin(one, epoch, true)).toBe(true);
    });

    it('ends once, also when its run was aborted meanwhile', async () => {
      const { epoch } = await take(one, 'one');
      await one.write(() => insertEffect(proposed, start));
      await begin(one, epoch);
      await two.write(() => abortRow('run1', start));
      const outcome = { output: 'built', failed: false };
      await one.write(() => endEffect(proposed, outcome, start + 2));
      await one.write(() => endEffect(proposed, { output: 'other', failed: true }, start + 3));
      expect(await only()).toMatchObject({ state: 'ended', outcome });
      expect(await begin(one, epoch, true)).toBe(false);
    });
  });
}
