import { execFile } from 'node:child_process';
import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Clock } from '../../../ts/guard/clock.js';
import type { DatabaseClient } from '../../../ts/guard/database-client.js';
import { DatabaseGuard } from '../../../ts/guard/databases.js';
import { DbBusyError, FencedError, LeaseLostError, ResourceBusyError } from '../../../ts/guard/errors.js';
import { Maasl } from '../../../ts/guard/maasl.js';
import { as, caught, endLease, get, inFile, Rig, set } from './databases.rig.js';

let rig: Rig;
beforeEach(() => {
  rig = new Rig();
});
afterEach(() => rig.close());

describe('the database guard on SQLite: transactions', () => {
  it('commit what the operation did and hand out what it returns', async () => {
    const db = rig.outside();
    const guard = await rig.guard();
    const result = await guard.transaction(
      async (tx) => {
        expect(tx.dialect).toBe('sqlite');
        expect(await set(tx, 5)).toBe(1);
        expect(await tx.query('INSERT INTO counters VALUES (?, ?) RETURNING n', ['c', 7])).toEqual([
          { n: 7 },
        ]);
        expect(await tx.query('UPDATE counters SET n = 8 WHERE name = ?', ['c'])).toEqual([]);
        expect(await tx.execute("UPDATE counters SET n = 9 WHERE name IN ('b', 'c') RETURNING n")).toBe(2);
        tx.sqlite.exec("UPDATE counters SET n = n + 1 WHERE name = 'b'; CREATE TABLE made (x)");
        expect(() => tx.postgres).toThrow(/dialect/);
        return get(tx);
      },
      as('ann', { description: 'five' }),
    );
    expect(result).toBe(5);
    expect([inFile(db), inFile(db, 'b'), inFile(db, 'c')]).toEqual([5, 10, 9]);
    expect(rig.writes()).toMatchObject([
      {
        agent_id: 'ann',
        session_id: 'ann-1',
        resource_key: `db:${rig.file}`,
        description: 'five',
        attempts: 1,
        outcome: 'ok',
      },
    ]);
  });

  it('leave the token in the database that they were made under', async () => {
    const db = rig.outside();
    const guard = await rig.guard();
    const tokens: (bigint | undefined)[] = [];
    for (const agent of ['ann', 'bob']) await guard.transaction((tx) => tokens.push(tx.token), as(agent));
    expect(tokens[1]).toBeGreaterThan(tokens[0] ?? 0n);
    expect(db.prepare('SELECT * FROM stomp_fences').safeIntegers(true).all()).toEqual([
      { resource_key: guard.resourceKey, token: tokens[1] },
    ]);
  });

  it('apply nothing when the operation fails, whose error is kept, and free the database', async () => {
    const db = rig.outside();
    const guard = await rig.guard();
    class Own extends Error {}
    const own = new Own('no', { cause: 5 });
    const failing = async (tx: DatabaseClient) => {
      await set(tx, 5);
      throw own;
    };
    expect(await caught(guard.transaction(failing, as('ann')))).toBe(own);
    const wrong = await caught(guard.transaction((tx) => tx.query('SELECT * FROM nowhere'), as('ann')));
    expect(wrong).toBeInstanceOf(Database.SqliteError);
    expect(inFile(db)).toBe(0);
    db.exec('UPDATE counters SET n = 1');
    expect(rig.writes().map(({ outcome }) => outcome)).toEqual(['failed', 'failed']);
    expect(await guard.transaction(get, as('bob'))).toBe(1);
  });

  it('lose no change when several processes make them', async () => {
    const db = rig.outside();
    // Each with its own connections to the locks and to the database, as processes have.
    const guards = await Promise.all([1, 2, 3].map(() => rig.guard()));
    const increment = async (tx: DatabaseClient) => {
      const n = await get(tx);
      await sleep(Math.random() * 2);
      await set(tx, n + 1);
    };
    const each = guards.flatMap((guard, g) =>
      Array.from({ length: 10 }, () => guard.transaction(increment, as(`agent${g}`, { maxWaitMs: 15_000 }))),
    );
    await Promise.all(each);
    expect(inFile(db)).toBe(30);
  });

  it('lose no change beside another process that writes without the guard', async () => {
    const db = rig.outside();
    const maasl = await rig.maasl();
    const guard = await rig.guard({}, maasl);
    const other = `
      const db = new (require('better-sqlite3'))(process.argv[1]);
      const increment = db.prepare("UPDATE counters SET n = n + 1 WHERE name = 'a'");
      for (let i = 0; i < 200; i++) {
        increment.run();
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
      }`;
    const ended = promisify(execFile)(process.execPath, ['-e', other, rig.file]);
    // Under one lease, so that all have one token and none needs to be noted.
    const held = await maasl.stompGuard([{ resourceClass: 'CRIT_DB', identifier: rig.file }], {
      ...as('ann'),
      intent: 'test',
    });
    const increment = async (tx: DatabaseClient) => {
      const n = await get(tx);
      await sleep(1);
      await set(tx, n + 1);
    };
    let own = 0;
    while (own < 20 || inFile(db) < 200 + own) {
      await guard.transaction(increment, as('ann', { maxWaitMs: 15_000 }));
      own++;
    }
    await ended;
    await held.release();
    expect(inFile(db)).toBe(200 + own);
  });

  it('of one agent and session come one after the other too', async () => {
    const db = rig.outside();
    const guard = await rig.guard();
    let at = 0;
    const alone = async (tx: DatabaseClient) => {
      expect(at++).toBe(0);
      await set(tx, (await get(tx)) + 1);
      await sleep(1);
      at--;
    };
    await Promise.all(
      Array.from({ length: 10 }, () => guard.transaction(alone, as('ann', { maxWaitMs: 9000 }))),
    );
    expect(inFile(db)).toBe(10);
  });

  it('know a file by whatever path it is reached', async () => {
    rig.outside();
    symlinkSync(rig.file, join(rig.folder, 'link.db'));
    const maasl = await rig.maasl();
    const direct = await rig.guard({}, maasl);
    for (const database of [join(rig.folder, 'link.db'), `file://${rig.file}`, new Database(rig.file)]) {
      if (typeof database !== 'string') rig.closing(database);
      expect((await rig.guard({ database }, maasl)).resourceKey).toBe(direct.resourceKey);
    }
  });

  it('are refused where they begin or end by themselves', async () => {
    const db = rig.outside();
    const guard = await rig.guard();
    for (const sql of ['COMMIT', ' /* a */ -- b\n rollback', ';end', 'BEGIN', 'SAVEPOINT x', 'release x']) {
      const own = guard.transaction((tx) => tx.execute(sql), as('ann'));
      expect((await caught(own))?.code).toBe('INVALID_REQUEST');
    }
    const sly = guard.transaction(async (tx) => {
      tx.sqlite.exec('ROLLBACK');
      await set(tx, 1);
    }, as('ann'));
    expect((await caught(sly))?.message).toMatch(/ended by a statement/);
    expect(inFile(db)).toBe(0);
    await guard.transaction((tx) => set(tx, 2), as('ann'));
    expect(inFile(db)).toBe(2);
  });

  it('commit nothing of what follows a statement that has undone them', async () => {
    const db = rig.outside();
    const guard = await rig.guard();
    const result = guard.transaction(async (tx) => {
      await set(tx, 1);
      const clash = tx.execute("INSERT OR ROLLBACK INTO counters VALUES ('a', 1)");
      expect(await caught(clash)).toBeInstanceOf(Database.SqliteError);
      await set(tx, 2).catch(() => undefined);
    }, as('ann'));
    const error = await caught(result);
    expect(error?.code).toBe('INVALID_REQUEST');
    expect(error?.cause).toMatchObject({ code: 'SQLITE_CONSTRAINT_PRIMARYKEY' });
    expect(inFile(db)).toBe(0);
  });
});

describe('the database guard on SQLite: a stale holder', () => {
  it('is refused by the database when another has written since', async () => {
    const db = rig.outside();
    // Its process stands still: to it no time passes, and its lease is as good as new.
    const stopped: Clock = { now: () => 0, after: () => () => undefined };
    const handle = rig.closing(new Database(rig.file));
    const stale = await rig.guard({ database: handle }, await rig.maasl({ clock: stopped }));
    const fresh = await rig.guard();
    let called = false;
    let wake: () => void = () => undefined;
    const asleep = stale.read(() => new Promise<void>((resolve) => (wake = resolve)), as('ann'));
    // It has the lease, and waits for the connection while that runs out.
    const late = caught(
      stale.transaction(
        (tx) => {
          called = true;
          return set(tx, 1);
        },
        as('ann', { ttlMs: 60, maxWaitMs: 15_000 }),
      ),
    );
    await sleep(20);
    let token = 0n;
    await fresh.transaction(
      (tx) => {
        token = tx.token ?? 0n;
        return set(tx, 2);
      },
      as('bob', { maxWaitMs: 10_000 }),
    );
    wake();
    await asleep;
    const error = await late;
    expect(error).toBeInstanceOf(FencedError);
    expect(error?.fields).toMatchObject({
      resource_key: stale.resourceKey,
      highest_token: token.toString(),
    });
    expect(called).toBe(false);
    expect(inFile(db)).toBe(2);
    expect(rig.events.filter(({ event }) => event === 'fenced')).toMatchObject([{ agent_id: 'ann' }]);
  });

  it('is rolled back when it loses its lease meanwhile', async () => {
    const db = rig.outside();
    const maasl = await rig.maasl();
    const guard = await rig.guard({}, maasl);
    let reason: unknown;
    const lost = guard.transaction(
      async (tx) => {
        await set(tx, 1);
        await endLease(maasl);
        await new Promise<void>((resolve) => {
          tx.signal.addEventListener('abort', () => {
            reason = tx.signal.reason;
            resolve();
          });
        });
      },
      as('ann', { ttlMs: 150 }),
    );
    const error = await caught(lost);
    expect(error).toBeInstanceOf(LeaseLostError);
    expect(reason).toBe(error);
    expect(inFile(db)).toBe(0);
    expect(rig.writes()).toMatchObject([{ outcome: 'LEASE_LOST' }]);
    await guard.transaction((tx) => set(tx, 3), as('bob'));
    expect(inFile(db)).toBe(3);
  });

  it('is refused also where the locks of the process began anew', async () => {
    rig.outside();
    const tokens: bigint[] = [];
    for (let run = 0; run < 2; run++) {
      const maasl = await Maasl.open({ database: join(rig.folder, 'locks.db'), locks: 'memory' });
      const guard = await DatabaseGuard.open(maasl, { database: rig.file });
      await guard.transaction((tx) => tokens.push(tx.token ?? 0n), as('ann'));
      await guard.transaction((tx) => tokens.push(tx.token ?? 0n), as('bob'));
      await guard.close();
      await maasl.close();
    }
    expect(tokens).toEqual([...new Set(tokens)].sort((a, b) => Number(a - b)));
    expect(tokens.length).toBe(4);
  });

  it('is no holder whose locks were made anew: after one refusal tokens go on above what the database has seen', async () => {
    rig.outside();
    const old = await rig.maasl({ database: join(rig.folder, 'old.db') });
    const before = await rig.guard({}, old);
    for (let i = 0; i < 3; i++) await before.transaction((tx) => set(tx, i), as('ann'));
    const after = await rig.guard({}, await rig.maasl({ database: join(rig.folder, 'new.db') }));
    expect((await caught(after.transaction((tx) => set(tx, 7), as('bob'))))?.code).toBe('FENCED');
    expect(await after.transaction((tx) => set(tx, 8).then(() => tx.token), as('bob'))).toBeGreaterThan(3n);
  });
});

describe('the database guard on SQLite: a database that others lock', () => {
  it('for good is busy within the deadline, and this process goes on meanwhile', async () => {
    const db = rig.outside();
    const guard = await rig.guard();
    db.exec('BEGIN IMMEDIATE');
    let ticks = 0;
    const ticking = setInterval(() => ticks++, 5);
    const beganAt = performance.now();
    let called = false;
    const write = () => {
      called = true;
    };
    const error = await caught(guard.transaction(write, as('ann', { maxWaitMs: 300, description: 'count' })));
    const took = performance.now() - beganAt;
    clearInterval(ticking);
    expect(error).toBeInstanceOf(DbBusyError);
    expect(error?.fields).toEqual({ description: 'count', last_sqlite_error: 'SQLITE_BUSY' });
    expect(error?.cause).toBeInstanceOf(Database.SqliteError);
    expect(called).toBe(false);
    expect(took).toBeGreaterThan(200);
    expect(took).toBeLessThan(1000);
    expect(ticks).toBeGreaterThan(10);
    expect(rig.writes()).toMatchObject([{ outcome: 'DB_BUSY' }]);
    expect(rig.writes()[0]?.attempts).toBeGreaterThan(2);
  });

  it('for a while is waited for', async () => {
    const db = rig.outside();
    const guard = await rig.guard();
    db.exec('BEGIN IMMEDIATE');
    const waiting = guard.transaction((tx) => set(tx, 1), as('ann', { maxWaitMs: 10_000 }));
    await sleep(50);
    db.exec('COMMIT');
    await waiting;
    expect(inFile(db)).toBe(1);
  });

  it('is tried once by those who do not wait', async () => {
    const db = rig.outside();
    const guard = await rig.guard();
    db.exec('BEGIN IMMEDIATE');
    expect(await caught(guard.transaction(get, as('ann', { maxWaitMs: 0 })))).toBeInstanceOf(DbBusyError);
    expect(rig.writes()).toMatchObject([{ attempts: 1 }]);
    db.exec('COMMIT');
    expect(await guard.transaction(get, as('ann', { maxWaitMs: 0 }))).toBe(0);
  });

  it('is waited for no longer for having waited for the lease before', async () => {
    const db = rig.outside();
    const maasl = await rig.maasl();
    const guard = await rig.guard({}, maasl);
    db.exec('BEGIN IMMEDIATE');
    const held = await maasl.locks.acquire(guard.resourceKey, { agentId: 'bob', sessionId: 'b' });
    const beganAt = performance.now();
    const waiting = caught(guard.transaction(get, as('ann', { maxWaitMs: 600 })));
    await sleep(400);
    await held.release();
    expect(await waiting).toBeInstanceOf(DbBusyError);
    expect(performance.now() - beganAt).toBeLessThan(1000);
    const again = await maasl.locks.acquire(guard.resourceKey, { agentId: 'bob', sessionId: 'b' });
    expect(await caught(guard.transaction(get, as('ann', { maxWaitMs: 20 })))).toBeInstanceOf(
      ResourceBusyError,
    );
    await again.release();
  });

  it('at COMMIT, because they still read, is waited for with the transaction kept', async () => {
    const db = rig.outside('delete');
    const guard = await rig.guard();
    let runs = 0;
    db.exec('BEGIN');
    expect(inFile(db)).toBe(0);
    const write = (tx: DatabaseClient) => {
      runs++;
      return set(tx, 1);
    };
    const waiting = guard.transaction(write, as('ann', { maxWaitMs: 10_000 }));
    await sleep(60);
    expect([runs, inFile(db)]).toEqual([1, 0]);
    db.exec('COMMIT');
    await waiting;
    expect([runs, inFile(db)]).toEqual([1, 1]);
  });

  it('at COMMIT, for good, is busy within the deadline and nothing is applied', async () => {
    const db = rig.outside('delete');
    const guard = await rig.guard();
    db.exec('BEGIN');
    expect(inFile(db)).toBe(0);
    const beganAt = performance.now();
    const slow = async (tx: DatabaseClient) => {
      await set(tx, 1);
      await sleep(250); // what the operation takes is no waiting
    };
    const error = await caught(guard.transaction(slow, as('ann', { maxWaitMs: 150 })));
    const took = performance.now() - beganAt;
    expect(error).toBeInstanceOf(DbBusyError);
    expect(took).toBeGreaterThan(300);
    expect(took).toBeLessThan(1500);
    db.exec('COMMIT');
    expect(inFile(db)).toBe(0);
    db.exec('UPDATE counters SET n = 4');
  });
});

describe('the database guard on SQLite: the guard', () => {
  it('refuses what it cannot guard', async () => {
    const maasl = await rig.maasl();
    const open = (database: unknown, more: object = {}) =>
      caught(DatabaseGuard.open(maasl, { database, ...more } as never)).then((error) => error?.code);
    expect(await open(':memory:')).toBe('INVALID_REQUEST');
    expect(await open('')).toBe('INVALID_REQUEST');
    expect(await open(undefined)).toBe('INVALID_REQUEST');
    expect(await open({ prepare: 1 })).toBe('INVALID_REQUEST');
    expect(await open(rig.closing(new Database(':memory:')))).toBe('INVALID_REQUEST');
    expect(await open('mysql://host/db')).toBe('INVALID_REQUEST');
    expect(await open('file://elsewhere/x.db')).toBe('INVALID_REQUEST');
    expect(await open(join(rig.folder, 'no', 'x.db'))).toBe('INVALID_REQUEST');
    expect(await open(join(rig.folder, 'locks.db'))).toBe('INVALID_REQUEST');
    expect(await open(rig.file, { path: 1 })).toBe('UNSUPPORTED_FIELD');
    expect(await open(rig.file, { maxDurationMs: 0 })).toBe('INVALID_REQUEST');
    expect(await open(rig.file, { connections: 0 })).toBe('INVALID_REQUEST');
    const memory = rig.closing(await Maasl.open());
    expect((await caught(DatabaseGuard.open(memory, { database: rig.file })))?.code).toBe('CONFIG_INVALID');
  });

  it('refuses calls that it does not understand', async () => {
    rig.outside();
    const guard = await rig.guard();
    const call = (operation: unknown, options: unknown) =>
      caught(guard.transaction(operation as never, options as never)).then((error) => error?.code);
    expect(await call('SELECT 1', as('ann'))).toBe('INVALID_REQUEST');
    expect(await call(get, undefined)).toBe('INVALID_REQUEST');
    expect(await call(get, as(''))).toBe('INVALID_REQUEST');
    expect(await call(get, { ...as('ann'), intent: 'x' })).toBe('UNSUPPORTED_FIELD');
    expect(await call(get, as('ann', { maxDurationMs: 0.5 }))).toBe('INVALID_REQUEST');
    expect(await call(get, as('ann', { maxWaitMs: Number.NaN }))).toBe('INVALID_REQUEST');
    expect(await call(get, as('ann', { isolation: 'chaos' as never }))).toBe('INVALID_REQUEST');
    expect(await call((tx: DatabaseClient) => tx.query(''), as('ann'))).toBe('INVALID_REQUEST');
    expect(await call((tx: DatabaseClient) => tx.query('SELECT 1', 1 as never), as('ann'))).toBe(
      'INVALID_REQUEST',
    );
    const read = guard.read(get, as('ann', { isolation: 'serializable' }));
    expect((await caught(read))?.code).toBe('UNSUPPORTED_FIELD');
  });

  it('asks for no lease and leaves no token when it is switched off', async () => {
    const db = rig.outside();
    const guard = await rig.guard({}, await rig.maasl({ maasl: { enabled: false } }));
    await guard.transaction((tx) => {
      expect(tx.token).toBeUndefined();
      return set(tx, 1);
    }, as('ann'));
    expect(inFile(db)).toBe(1);
    expect(db.prepare("SELECT 1 FROM sqlite_master WHERE name = 'stomp_fences'").get()).toBeUndefined();
  });

  it('waits when it is closed for what is running, and refuses what comes', async () => {
    const db = rig.outside();
    const guard = await rig.guard();
    const running = guard.transaction(async (tx) => {
      expect((await caught(guard.close()))?.code).toBe('INVALID_REQUEST');
      await sleep(30);
      await set(tx, 1);
    }, as('ann'));
    await sleep(5);
    await guard.close();
    expect(inFile(db)).toBe(1);
    await running;
    expect((await caught(guard.read(get, as('ann'))))?.code).toBe('SHUTTING_DOWN');
    await guard.close();
  });
});
