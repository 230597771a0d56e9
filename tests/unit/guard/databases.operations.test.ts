import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { StompError } from '../../../ts/errors.js';
import type { DatabaseClient } from '../../../ts/guard/database-client.js';
import type { DatabaseGuard } from '../../../ts/guard/databases.js';
import { DbBusyError } from '../../../ts/guard/errors.js';
import { as, caught, get, inFile, Rig, set } from './databases.rig.js';

let rig: Rig;
beforeEach(() => {
  rig = new Rig();
});
afterEach(() => rig.close());

describe('operations under the database guard on SQLite: an operation within an operation', () => {
  it('undoes its own part when it fails, and no more', async () => {
    const db = rig.outside();
    const guard = await rig.guard();
    const inner = async (tx: DatabaseClient) => {
      await set(tx, 2);
      await guard.transaction((deeper) => set(deeper, 3, 'b'), as('ann'));
      throw new Error('inner');
    };
    await guard.transaction(async (tx) => {
      await set(tx, 1);
      expect((await caught(guard.transaction(inner, as('ann'))))?.message).toBe('inner');
      expect(await get(tx)).toBe(1);
      await guard.transaction((deeper) => set(deeper, 4, 'b'), as('ann'));
    }, as('ann'));
    expect([inFile(db), inFile(db, 'b')]).toEqual([1, 4]);
    expect(rig.writes().length).toBe(1);
  });

  it('leaves what a model of nested maps would, whatever fails', async () => {
    const db = rig.outside();
    const guard = await rig.guard();
    interface Step {
      name: string;
      n: number;
      fails: boolean;
      within: Step[];
    }
    const stepWith = (within: fc.Arbitrary<Step[]>): fc.Arbitrary<Step> =>
      fc.record({
        name: fc.constantFrom('a', 'b'),
        n: fc.integer({ min: 0, max: 99 }),
        fails: fc.boolean(),
        within,
      });
    let step = stepWith(fc.constant([]));
    for (let depth = 0; depth < 3; depth++) step = stepWith(fc.array(step, { maxLength: 3 }));
    const run = async (tx: DatabaseClient, { name, n, fails, within }: Step): Promise<void> => {
      await set(tx, n, name);
      for (const deeper of within) {
        await guard.transaction((inner) => run(inner, deeper), as('ann')).catch(own);
      }
      if (fails) throw new Error('wanted');
    };
    const own = (error: Error) => expect(error.message).toBe('wanted');
    const after = (state: Map<string, number>, { name, n, fails, within }: Step): Map<string, number> => {
      const result = within.reduce(after, new Map(state).set(name, n));
      return fails ? state : result;
    };
    await fc.assert(
      fc.asyncProperty(step, async (outermost) => {
        const before = new Map([
          ['a', 0],
          ['b', 0],
        ]);
        db.exec('UPDATE counters SET n = 0');
        await guard.transaction((tx) => run(tx, outermost), as('ann')).catch(own);
        const expected = after(before, outermost);
        expect([inFile(db), inFile(db, 'b')]).toEqual([expected.get('a'), expected.get('b')]);
      }),
      { numRuns: 60 },
    );
  });

  it('goes after the one beside it, and the outer one waits for both', async () => {
    const db = rig.outside();
    const guard = await rig.guard();
    const increment = async (tx: DatabaseClient) => {
      const n = await get(tx);
      await sleep(2);
      await set(tx, n + 1);
    };
    await guard.transaction(async (tx) => {
      const both = [1, 2, 3].map(() => guard.transaction(increment, as('ann')));
      await sleep(1);
      // It would be undone if that failed.
      expect((await caught(set(tx, 9, 'b')))?.message).toMatch(/still going on/);
      await Promise.all(both);
      await set(tx, 8, 'b');
    }, as('ann'));
    expect([inFile(db), inFile(db, 'b')]).toEqual([3, 8]);
  });

  it('that is not awaited spoils the transaction', async () => {
    const db = rig.outside();
    const guard = await rig.guard();
    let inner: Promise<unknown> = Promise.resolve();
    const hasty = guard.transaction(async (tx) => {
      await set(tx, 1);
      inner = caught(
        guard.transaction(async (deeper) => {
          await sleep(20);
          await set(deeper, 2);
        }, as('ann')),
      );
      await sleep(2);
    }, as('ann'));
    expect((await caught(hasty))?.message).toMatch(/still going on/);
    expect(((await inner) as StompError).message).toMatch(/still going on|ended/);
    expect(inFile(db)).toBe(0);
  });

  it('that is not awaited by one within spoils all of it, whatever the outer one makes of that', async () => {
    const db = rig.outside();
    const guard = await rig.guard();
    let deepest: Promise<unknown> = Promise.resolve();
    const hasty = async (tx: DatabaseClient) => {
      await set(tx, 2);
      deepest = caught(guard.transaction(() => sleep(20), as('ann')));
      await sleep(2);
    };
    const spoilt = guard.transaction(async (tx) => {
      await set(tx, 1);
      expect((await caught(guard.transaction(hasty, as('ann'))))?.message).toMatch(/still going on/);
    }, as('ann'));
    expect((await caught(spoilt))?.message).toMatch(/still going on/);
    await deepest;
    expect(inFile(db)).toBe(0);
  });

  it('that was left behind begins a transaction of its own', async () => {
    const db = rig.outside();
    const guard = await rig.guard();
    let later: Promise<unknown> = Promise.resolve();
    await guard.transaction(async (tx) => {
      await set(tx, 1);
      later = sleep(30).then(() => guard.transaction((own) => set(own, 2), as('bob')));
    }, as('ann'));
    await later;
    expect(inFile(db)).toBe(2);
    expect(rig.writes().length).toBe(2);
  });

  it('that was left behind by one that failed is refused: it would be applied without it', async () => {
    const db = rig.outside();
    const guard = await rig.guard();
    let sibling: Promise<unknown> = Promise.resolve();
    const failed = guard.transaction(async () => {
      sibling = caught(sleep(30).then(() => guard.transaction((own) => set(own, 2), as('ann'))));
      throw new Error('no');
    }, as('ann'));
    expect((await caught(failed))?.message).toBe('no');
    expect(await sibling).toMatchObject({ code: 'INVALID_REQUEST', message: expect.stringMatching(/ended/) });
    expect(inFile(db)).toBe(0);
  });

  it('of one that was cut short is refused', async () => {
    const db = rig.outside();
    const guard = await rig.guard();
    let late: Promise<unknown> = Promise.resolve();
    const cut = guard.transaction(
      async () => {
        await sleep(60);
        late = caught(guard.transaction((own) => set(own, 2), as('ann')));
        await late;
      },
      as('ann', { maxDurationMs: 20 }),
    );
    expect((await caught(cut))?.code).toBe('CANCELLED');
    await sleep(80);
    expect(await late).toMatchObject({ code: 'CANCELLED' });
    expect(inFile(db)).toBe(0);
  });

  it('that reads sees what was done and changes nothing', async () => {
    const db = rig.outside();
    const guard = await rig.guard();
    await guard.transaction(async (tx) => {
      await set(tx, 1);
      const read = guard.read(async (inner) => {
        expect(await guard.read(get, as('ann'))).toBe(1);
        expect(await get(inner)).toBe(1);
        await set(inner, 2);
      }, as('ann'));
      expect((await caught(read))?.code).toBe('SQLITE_READONLY');
      await set(tx, 3, 'b');
    }, as('ann'));
    expect([inFile(db), inFile(db, 'b')]).toEqual([1, 3]);
    const wrong = guard.read(() => guard.transaction((tx) => set(tx, 5), as('ann')), as('ann'));
    expect((await caught(wrong))?.code).toBe('INVALID_REQUEST');
  });
});

describe('operations under the database guard on SQLite: a handle of the caller', () => {
  it('with a transaction open is refused, and that is left alone', async () => {
    const db = rig.outside();
    const guard = await rig.guard({ database: db });
    db.exec('BEGIN; UPDATE counters SET n = 6');
    for (const call of [() => guard.transaction(get, as('ann')), () => guard.read(get, as('ann'))]) {
      const error = await caught(call());
      expect(error?.code).toBe('INVALID_REQUEST');
      expect(error?.message).toMatch(/outside of the guard/);
    }
    expect(db.inTransaction).toBe(true);
    db.exec('COMMIT');
    expect(await guard.transaction(get, as('ann'))).toBe(6);
  });

  it('is left as it was found, and open', async () => {
    const db = rig.outside();
    db.pragma('busy_timeout = 1234');
    const guard = await rig.guard({ database: db });
    await guard.transaction((tx) => {
      expect(tx.sqlite).toBe(db);
      return set(tx, 1);
    }, as('ann'));
    await guard.read(get, as('ann'));
    await caught(guard.read((tx) => set(tx, 2), as('ann')));
    await guard.close();
    expect(db.pragma('busy_timeout', { simple: true })).toBe(1234);
    db.exec('UPDATE counters SET n = 3');
    expect(inFile(db)).toBe(3);
  });

  it('has one transaction at a time, whichever guard it is under', async () => {
    const db = rig.outside();
    const maasl = await rig.maasl();
    const [one, two] = await Promise.all([
      rig.guard({ database: db }, maasl),
      rig.guard({ database: db }, maasl),
    ]);
    const first = one.transaction(async (tx) => {
      await set(tx, 1);
      await sleep(30);
      throw new Error('undone');
    }, as('ann'));
    const second = two.transaction((tx) => set(tx, 2, 'b'), as('ann'));
    expect((await caught(first))?.message).toBe('undone');
    await second;
    expect([inFile(db), inFile(db, 'b')]).toEqual([0, 2]);
  });

  it('with an iterator left open cannot be committed, and can be used again when that is closed', async () => {
    const db = rig.outside();
    const guard = await rig.guard({ database: db });
    db.pragma('busy_timeout = 9');
    let rows: IterableIterator<unknown> | undefined;
    const careless = guard.transaction(async (tx) => {
      await set(tx, 1);
      rows = tx.sqlite.prepare('SELECT * FROM counters').iterate();
    }, as('ann'));
    const error = await caught(careless);
    expect(error?.code).toBe('INVALID_REQUEST');
    expect(error?.message).toMatch(/iterator/);
    rows?.return?.();
    db.exec('ROLLBACK');
    expect(await guard.transaction(get, as('bob'))).toBe(0);
    expect(db.pragma('busy_timeout', { simple: true })).toBe(9);
  });

  it('that was closed is refused', async () => {
    const db = rig.outside();
    const guard = await rig.guard({ database: db });
    db.close();
    expect((await caught(guard.transaction(get, as('ann'))))?.code).toBe('INVALID_REQUEST');
  });
});

describe('operations under the database guard on SQLite: a transaction that is ended from outside', () => {
  it('for its length is rolled back, and its operation has no hold on the next', async () => {
    const db = rig.outside();
    const guard = await rig.guard();
    const late: unknown[] = [];
    let done: Promise<void> = Promise.resolve();
    const endless = async (tx: DatabaseClient) => {
      const raw = tx.sqlite;
      await set(tx, 1);
      await new Promise((resolve) => tx.signal.addEventListener('abort', resolve));
      done = (async () => {
        await sleep(20);
        late.push(await caught(set(tx, 9)));
        late.push(await caught((async () => raw.exec('UPDATE counters SET n = 9'))()));
      })();
      await new Promise(() => undefined);
    };
    const error = await caught(
      guard.transaction(endless, as('ann', { maxDurationMs: 60, description: 'all' })),
    );
    expect(error?.code).toBe('CANCELLED');
    expect(error?.fields).toMatchObject({ description: 'all', max_duration_ms: 60 });
    expect(inFile(db)).toBe(0);
    await guard.transaction((tx) => set(tx, 2), as('bob'));
    await done;
    expect(late).toMatchObject([{ code: 'CANCELLED' }, { message: expect.stringMatching(/not open/) }]);
    expect(inFile(db)).toBe(2);
  });

  it('for its length, on a handle, keeps the next waiting while the handle is in its hands', async () => {
    const db = rig.outside();
    const guard = await rig.guard({ database: db, maxDurationMs: 40 });
    let finish: () => void = () => undefined;
    const held = async (tx: DatabaseClient) => {
      await set(tx, 1);
      await new Promise<void>((resolve) => (finish = resolve));
    };
    expect((await caught(guard.transaction(held, as('ann'))))?.code).toBe('CANCELLED');
    expect(db.inTransaction).toBe(false);
    const busy = await caught(guard.transaction(get, as('bob', { maxWaitMs: 50 })));
    expect(busy?.fields).toMatchObject({ last_sqlite_error: null });
    expect(busy).toBeInstanceOf(DbBusyError);
    const next = guard.transaction(get, as('bob', { maxWaitMs: 10_000 }));
    finish();
    expect(await next).toBe(0);
  });

  it('for its length is rolled back also when it never lets go of the thread', async () => {
    const db = rig.outside();
    const guard = await rig.guard();
    const hog = async (tx: DatabaseClient) => {
      const until = performance.now() + 60;
      await set(tx, 1);
      while (performance.now() < until);
    };
    expect((await caught(guard.transaction(hog, as('ann', { maxDurationMs: 20 }))))?.code).toBe('CANCELLED');
    expect(inFile(db)).toBe(0);
  });

  it('by its caller is rolled back, waiting or running', async () => {
    const db = rig.outside();
    const guard = await rig.guard();
    const running = new AbortController();
    const why = new Error('enough');
    const stopped = guard.transaction(
      async (tx) => {
        await set(tx, 1);
        running.abort(why);
        await set(tx, 2);
      },
      as('ann', { signal: running.signal }),
    );
    const error = await caught(stopped);
    expect([error?.code, error?.name, error?.cause]).toEqual(['CANCELLED', 'AbortError', why]);
    expect(inFile(db)).toBe(0);

    db.exec('BEGIN IMMEDIATE');
    const waiting = new AbortController();
    const wait = guard.transaction(get, as('ann', { signal: waiting.signal, maxWaitMs: 10_000 }));
    await sleep(30);
    waiting.abort();
    expect((await caught(wait))?.code).toBe('CANCELLED');
    const before = guard.transaction(get, as('ann', { signal: AbortSignal.abort() }));
    expect((await caught(before))?.code).toBe('CANCELLED');
  });
});

describe('operations under the database guard on SQLite: reads', () => {
  it('see one state of the database, whatever is committed meanwhile', async () => {
    rig.outside();
    const guard = await rig.guard();
    const seen = await guard.read(async (tx) => {
      const first = await get(tx);
      await new Promise<void>((resolve, reject) => {
        // In no way part of this read.
        setImmediate(() => other(guard).then(resolve, reject));
      });
      return [first, await get(tx, 'b'), await get(tx)];
    }, as('ann'));
    expect(seen).toEqual([0, 0, 0]);
    expect(await guard.read(get, as('ann'))).toBe(1);
  });
  const other = async (guard: DatabaseGuard) => {
    const again = await rig.guard({}, await rig.maasl());
    expect(again.resourceKey).toBe(guard.resourceKey);
    await again.transaction(async (tx) => {
      await set(tx, 1);
      await set(tx, 1, 'b');
    }, as('bob'));
  };

  it('begin with what is there when they begin, not at their first statement', async () => {
    const db = rig.outside();
    const guard = await rig.guard();
    const seen = await guard.read((tx) => {
      db.exec('UPDATE counters SET n = 1');
      return get(tx);
    }, as('ann'));
    expect(seen).toBe(0);
  });

  it('go on beside a transaction and beside each other', async () => {
    rig.outside();
    const guard = await rig.guard();
    await guard.transaction(async (tx) => {
      await set(tx, 1);
      const apart = await rig.guard();
      const both = await Promise.all([apart.read(get, as('bob')), apart.read(get, as('cid'))]);
      expect(both).toEqual([0, 0]);
    }, as('ann'));
  });

  it('change nothing', async () => {
    const db = rig.outside();
    const guard = await rig.guard();
    expect((await caught(guard.read((tx) => set(tx, 1), as('ann'))))?.code).toBe('SQLITE_READONLY');
    const raw = guard.read((tx) => tx.sqlite.exec('DROP TABLE counters'), as('ann'));
    expect((await caught(raw))?.code).toBe('SQLITE_READONLY');
    expect(inFile(db)).toBe(0);
    await guard.transaction((tx) => set(tx, 1), as('ann'));
    expect(inFile(db)).toBe(1);
  });

  it('take no lease, and no more connections than they may', async () => {
    rig.outside();
    const maasl = await rig.maasl();
    const guard = await rig.guard({ connections: 2 }, maasl);
    let at = 0;
    let most = 0;
    const read = async () => {
      most = Math.max(most, ++at);
      await sleep(5);
      at--;
    };
    const held = await maasl.locks.acquire(guard.resourceKey, { agentId: 'bob', sessionId: 'b' });
    await Promise.all(Array.from({ length: 6 }, () => guard.read(read, as('ann', { maxWaitMs: 9000 }))));
    expect(most).toBe(2);
    await held.release();
  });
});
