import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Clock } from '../../../ts/guard/clock.js';
import type { DatabaseClient } from '../../../ts/guard/database-client.js';
import { DatabaseGuard, type DatabaseGuardOptions } from '../../../ts/guard/databases.js';
import { DbBusyError, FencedError, LeaseLostError } from '../../../ts/guard/errors.js';
import { Maasl } from '../../../ts/guard/maasl.js';
import type { StompEvent } from '../../../ts/guard/telemetry.js';
import { type PostgresServer, startPostgres } from '../../servers/postgres.js';
import { Relay } from '../../servers/relay.js';
import { as, caught, endLease } from '../../unit/guard/databases.rig.js';

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server?.close());

const set = (tx: DatabaseClient, n: number, name = 'a') =>
  tx.execute('UPDATE counters SET n = $1 WHERE name = $2', [n, name]);
const get = async (tx: DatabaseClient, name = 'a') =>
  (await tx.query<{ n: number }>('SELECT n FROM counters WHERE name = $1', [name]))[0]?.n ?? -1;

let databases = 0;

describe('the database guard on PostgreSQL', () => {
  let folder: string;
  let url: string;
  /** Another program, which knows nothing of guards. */
  let outside: pg.Client;
  let events: StompEvent[];
  let toClose: (() => unknown)[];

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'stomp-databases-'));
    events = [];
    toClose = [() => rmSync(folder, { recursive: true })];
    const name = `guarded_${++databases}`;
    const admin = await clientOf(server.url);
    await admin.query(`CREATE DATABASE ${name}`);
    url = server.url.replace(/\/postgres$/, `/${name}`);
    outside = await clientOf(url);
    await outside.query('CREATE TABLE counters (name text PRIMARY KEY, n int NOT NULL)');
    await outside.query("INSERT INTO counters VALUES ('a', 0), ('b', 0)");
  });
  afterEach(async () => {
    for (const close of toClose.reverse()) await close();
  });

  async function clientOf(address: string): Promise<pg.Client> {
    const client = new pg.Client({ connectionString: address });
    client.on('error', () => undefined);
    await client.connect();
    toClose.push(() => client.end().catch(() => undefined));
    return client;
  }
  async function maaslOf(more: object = {}): Promise<Maasl> {
    const sink = (event: StompEvent) => events.push(event);
    const maasl = await Maasl.open({ database: join(folder, 'locks.db'), sink, ...more });
    toClose.push(() => maasl.close());
    return maasl;
  }
  async function guardOf(options: Partial<DatabaseGuardOptions> = {}, maasl?: Maasl): Promise<DatabaseGuard> {
    const guard = await DatabaseGuard.open(maasl ?? (await maaslOf()), { database: url, ...options });
    toClose.push(() => guard.close());
    return guard;
  }
  const inTable = async (name = 'a') =>
    (await outside.query<{ n: number }>('SELECT n FROM counters WHERE name = $1', [name])).rows[0]?.n;
  const attempts = () => events.filter(({ event }) => event === 'db_write').map((one) => one.attempts);
  /** Connections to the guarded database that are at something. */
  const atWork = async () => {
    const { rows } = await outside.query<{ n: number }>(
      `SELECT count(*)::int AS n FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'`,
    );
    return rows[0]?.n;
  };
  async function becomesIdle(): Promise<void> {
    for (let i = 0; i < 400 && (await atWork()) !== 0; i++) await sleep(10);
    expect(await atWork()).toBe(0);
  }

  describe('transactions', () => {
    it('commit what the operation did and hand out what it returns', async () => {
      const guard = await guardOf();
      const result = await guard.transaction(
        async (tx) => {
          expect(tx.dialect).toBe('postgres');
          expect(await set(tx, 5)).toBe(1);
          expect(await tx.query('INSERT INTO counters VALUES ($1, $2) RETURNING n', ['c', 7])).toEqual([
            { n: 7 },
          ]);
          expect(await tx.query("UPDATE counters SET n = 8 WHERE name = 'c'")).toEqual([]);
          await tx.postgres.query("UPDATE counters SET n = 9 WHERE name = 'b'");
          expect(() => tx.sqlite).toThrow(/dialect/);
          expect(await tx.query('SHOW transaction_isolation')).toEqual([
            { transaction_isolation: 'read committed' },
          ]);
          expect(await tx.query('SHOW idle_in_transaction_session_timeout')).toEqual([
            { idle_in_transaction_session_timeout: '12s' },
          ]);
          return get(tx);
        },
        as('ann', { description: 'five', maxDurationMs: 7000 }),
      );
      expect(result).toBe(5);
      expect([await inTable(), await inTable('b'), await inTable('c')]).toEqual([5, 9, 8]);
      expect(events.at(-1)).toMatchObject({
        event: 'db_write',
        description: 'five',
        attempts: 1,
        outcome: 'ok',
      });
    });

    it('leave the token in the database that they were made under', async () => {
      const guard = await guardOf();
      const tokens: (bigint | undefined)[] = [];
      for (const agent of ['ann', 'bob']) await guard.transaction((tx) => tokens.push(tx.token), as(agent));
      const { rows } = await outside.query('SELECT * FROM stomp_fences');
      expect(rows).toEqual([{ resource_key: guard.resourceKey, token: String(tokens[1]) }]);
      expect(tokens[1]).toBeGreaterThan(tokens[0] ?? 0n);
    });

    it('apply nothing when the operation fails, whose error is kept, and free the connection', async () => {
      const guard = await guardOf({ connections: 1 });
      const own = new RangeError('no');
      const failing = async (tx: DatabaseClient) => {
        await set(tx, 5);
        throw own;
      };
      expect(await caught(guard.transaction(failing, as('ann')))).toBe(own);
      const wrong = await caught(guard.transaction((tx) => tx.query('SELECT * FROM nowhere'), as('ann')));
      expect(wrong).toBeInstanceOf(pg.DatabaseError);
      expect(wrong?.code).toBe('42P01');
      expect(attempts()).toEqual([1, 1]);
      expect(await inTable()).toBe(0);
      expect(await guard.transaction(get, as('bob'))).toBe(0);
    });

    it('lose no change when several processes make them, and make the table of tokens at once', async () => {
      // Each with its own connections to the locks and to the database, as processes have.
      const guards = await Promise.all([1, 2, 3].map(() => guardOf()));
      const increment = async (tx: DatabaseClient) => {
        const n = await get(tx);
        await sleep(Math.random() * 2);
        await set(tx, n + 1);
      };
      const each = guards.flatMap((guard, g) =>
        Array.from({ length: 10 }, () =>
          guard.transaction(increment, as(`agent${g}`, { maxWaitMs: 60_000 })),
        ),
      );
      await Promise.all(each);
      expect(await inTable()).toBe(30);
    });

    it('of one agent and session come one after the other too, whatever their isolation', async () => {
      const guard = await guardOf();
      const increment = async (tx: DatabaseClient) => set(tx, (await get(tx)) + 1);
      const each = (['read committed', 'repeatable read', 'serializable'] as const).flatMap((isolation) =>
        Array.from({ length: 4 }, () =>
          guard.transaction(increment, as('ann', { isolation, maxWaitMs: 60_000 })),
        ),
      );
      await Promise.all(each);
      expect(await inTable()).toBe(12);
    });

    it('that fail in a statement are not taken for committed when the operation hides it', async () => {
      const guard = await guardOf();
      const hiding = guard.transaction(async (tx) => {
        await set(tx, 1);
        await tx.query('SELECT 1 / 0').catch(() => undefined);
        await set(tx, 2).catch(() => undefined);
      }, as('ann'));
      expect((await caught(hiding))?.code).toBe('22012');
      const sly = guard.transaction(async (tx) => {
        await tx.postgres.query('ROLLBACK');
        await set(tx, 1);
      }, as('ann'));
      expect((await caught(sly))?.message).toMatch(/ended by a statement/);
      const own = guard.transaction((tx) => tx.execute('COMMIT'), as('ann'));
      expect((await caught(own))?.code).toBe('INVALID_REQUEST');
      expect(await inTable()).toBe(0);
    });

    it('may have their locks in the database that they change', async () => {
      const guard = await guardOf({}, await maaslOf({ database: url }));
      await guard.transaction((tx) => set(tx, 1), as('ann'));
      await guard.transaction((tx) => set(tx, 2), as('bob'));
      expect(await inTable()).toBe(2);
    });

    it('are under one key by address and by pool, and leave the pool as it was', async () => {
      const pool = new pg.Pool({ connectionString: url, max: 2 });
      toClose.push(() => pool.end());
      const guard = await guardOf({ database: pool });
      expect(guard.resourceKey).toBe((await guardOf()).resourceKey);
      await guard.transaction((tx) => set(tx, 1), as('ann'));
      await caught(guard.transaction((tx) => tx.query('SELECT 1 / 0'), as('ann')));
      await guard.close();
      expect([pool.totalCount, pool.idleCount, pool.ended]).toEqual([1, 1, false]);
      expect((await pool.query('SHOW idle_in_transaction_session_timeout')).rows).toEqual([
        { idle_in_transaction_session_timeout: '0' },
      ]);
    });

    it('say what is missing when the role may not make the table of tokens', async () => {
      await outside.query('CREATE ROLE plain LOGIN');
      await outside.query('GRANT ALL ON counters TO plain');
      const guard = await guardOf({ database: url.replace('stomp@', 'plain@') });
      expect((await caught(guard.transaction(get, as('ann'))))?.code).toBe('FORBIDDEN');
      await outside.query('CREATE TABLE stomp_fences (resource_key text PRIMARY KEY, token bigint NOT NULL)');
      await outside.query('GRANT SELECT, INSERT, UPDATE ON stomp_fences TO plain');
      expect(await guard.transaction(get, as('ann'))).toBe(0);
    });
  });

  describe('a stale holder', () => {
    it('is refused by the database when another has written since', async () => {
      // Its process stands still: to it no time passes, and its lease is as good as new.
      const stopped: Clock = { now: () => 0, after: () => () => undefined };
      const stale = await guardOf({ connections: 1 }, await maaslOf({ clock: stopped }));
      const fresh = await guardOf();
      let wake: () => void = () => undefined;
      const asleep = stale.read(() => new Promise<void>((resolve) => (wake = resolve)), as('ann'));
      // It has the lease, and waits for the connection while that runs out.
      const late = caught(stale.transaction((tx) => set(tx, 1), as('ann', { ttlMs: 60, maxWaitMs: 60_000 })));
      await sleep(20);
      await fresh.transaction((tx) => set(tx, 2), as('bob', { maxWaitMs: 10_000 }));
      wake();
      await asleep;
      expect(await late).toBeInstanceOf(FencedError);
      expect(await inTable()).toBe(2);
      expect(events.filter(({ event }) => event === 'fenced')).toMatchObject([{ agent_id: 'ann' }]);
    });

    it('is rolled back when it loses its lease meanwhile', async () => {
      const maasl = await maaslOf();
      const guard = await guardOf({}, maasl);
      const lost = guard.transaction(
        async (tx) => {
          await set(tx, 1);
          await endLease(maasl);
          await tx.query('SELECT pg_sleep(60)');
        },
        as('ann', { ttlMs: 300, maxDurationMs: 60_000 }),
      );
      expect(await caught(lost)).toBeInstanceOf(LeaseLostError);
      expect([await inTable(), await atWork()]).toEqual([0, 0]);
    });
  });

  describe('transactions that collide', () => {
    it('are run again when they cannot be serialised', async () => {
      const guard = await guardOf();
      let runs = 0;
      const skewed = async (tx: DatabaseClient) => {
        const a = await get(tx);
        if (runs++ === 0) {
          await outside.query('BEGIN ISOLATION LEVEL SERIALIZABLE');
          await outside.query(
            "UPDATE counters SET n = 1 + (SELECT n FROM counters WHERE name = 'b') WHERE name = 'a'",
          );
          await outside.query('COMMIT');
        }
        await set(tx, a + 10, 'b');
      };
      await guard.transaction(skewed, as('ann', { isolation: 'serializable', maxWaitMs: 20_000 }));
      expect([runs, attempts()]).toEqual([2, [2]]);
      expect([await inTable(), await inTable('b')]).toEqual([1, 11]);
    });

    it('are run again when they deadlock, also when the operation wraps the error', async () => {
      const guard = await guardOf();
      let runs = 0;
      let theirs: Promise<unknown> = Promise.resolve();
      const crossing = async (tx: DatabaseClient) => {
        await tx.execute('SET LOCAL deadlock_timeout = 100');
        await set(tx, 1);
        if (runs++ === 0) {
          await outside.query(
            "SET deadlock_timeout = '60s'; BEGIN; UPDATE counters SET n = 7 WHERE name = 'b'",
          );
          theirs = outside.query("UPDATE counters SET n = 7 WHERE name = 'a'; COMMIT");
        }
        await set(tx, 2, 'b').catch((cause: unknown) => {
          throw new Error('wrapped', { cause });
        });
      };
      await guard.transaction(crossing, as('ann', { maxWaitMs: 20_000 }));
      await theirs;
      expect([runs, attempts()]).toEqual([2, [2]]);
      expect([await inTable(), await inTable('b')]).toEqual([1, 2]);
    });

    it('for ever are busy within the deadline', async () => {
      const guard = await guardOf();
      let runs = 0;
      const never = async (tx: DatabaseClient) => {
        runs++;
        await get(tx);
        await outside.query('UPDATE counters SET n = n + 1');
        await set(tx, -1);
      };
      const beganAt = performance.now();
      const call = as('ann', { isolation: 'repeatable read', maxWaitMs: 400, description: 'never' });
      const error = await caught(guard.transaction(never, call));
      expect(error).toBeInstanceOf(DbBusyError);
      expect(error?.fields).toMatchObject({ description: 'never', sql_state: '40001' });
      expect(performance.now() - beganAt).toBeLessThan(3000);
      expect(runs).toBeGreaterThan(1);
      expect(await inTable()).toBe(runs);
    });
  });

  describe('a database that does not answer', () => {
    it('because another transaction holds the token is busy within the deadline, and nothing stays behind', async () => {
      const guard = await guardOf();
      await guard.transaction(get, as('ann'));
      await outside.query('BEGIN; UPDATE stomp_fences SET token = token');
      const beganAt = performance.now();
      expect(await caught(guard.transaction(get, as('bob', { maxWaitMs: 400 })))).toBeInstanceOf(DbBusyError);
      const took = performance.now() - beganAt;
      expect(took).toBeGreaterThan(300);
      expect(took).toBeLessThan(3000);
      expect(await atWork()).toBe(0);
      await outside.query('COMMIT');
      expect(await guard.transaction(get, as('bob'))).toBe(0);
    });

    it('because it is away is busy within the deadline, and is found again when it is back', async () => {
      const guard = await guardOf();
      await guard.transaction((tx) => set(tx, 1), as('ann'));
      await outside.end();
      await server.stop('immediate');
      let away = true;
      try {
        const error = await caught(guard.transaction(get, as('ann', { maxWaitMs: 300 })));
        expect(error).toBeInstanceOf(DbBusyError);
        expect(error?.message).not.toContain('stomp@');
        const waiting = guard.transaction(get, as('ann', { maxWaitMs: 100_000 }));
        await sleep(50);
        await server.start();
        away = false;
        expect(await waiting).toBe(1);
      } finally {
        if (away) await server.start();
      }
    });

    it('because it is not there, or does not let one in, is busy at once', async () => {
      const guard = await guardOf({ database: url.replace(/guarded_\d+/, 'nowhere') });
      const error = await caught(guard.transaction(get, as('ann', { maxWaitMs: 60_000 })));
      expect(error).toBeInstanceOf(DbBusyError);
      expect(error?.fields).toMatchObject({ sql_state: '3D000' });
      expect(attempts()).toEqual([1]);
    });

    it('because the connection was cut is asked again, from the start', async () => {
      const guard = await guardOf();
      let runs = 0;
      await guard.transaction(
        async (tx) => {
          await set(tx, ++runs);
          const [row] = await tx.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
          if (runs === 1) await outside.query('SELECT pg_terminate_backend($1)', [row?.pid]);
          await set(tx, runs, 'b');
        },
        as('ann', { maxWaitMs: 20_000 }),
      );
      expect([runs, await inTable(), await inTable('b')]).toEqual([2, 2, 2]);
    });

    it('to COMMIT leaves open whether it was applied, and says so', async () => {
      const relay = await Relay.start(Number(new URL(url).port));
      toClose.push(() => relay.close());
      const guard = await guardOf({ database: url.replace(/:\d+\//, `:${relay.port}/`) });
      let runs = 0;
      const lost = guard.transaction(
        async (tx) => {
          await set(tx, ++runs);
          relay.swallowAfter('COMMIT');
        },
        as('ann', { maxWaitMs: 20_000 }),
      );
      const error = await caught(lost);
      expect(error).toBeInstanceOf(DbBusyError);
      expect(error?.fields).toMatchObject({ committed: 'unknown' });
      await becomesIdle();
      expect([runs, await inTable()]).toEqual([1, 1]);
    });
  });

  describe('an operation within an operation', () => {
    it('undoes its own part when it fails, and no more', async () => {
      const guard = await guardOf();
      await guard.transaction(async (tx) => {
        await set(tx, 1);
        const inner = guard.transaction(async (deeper) => {
          await set(deeper, 2);
          await guard.transaction((deepest) => set(deepest, 3, 'b'), as('ann'));
          await deeper.query('SELECT 1 / 0');
        }, as('ann'));
        expect((await caught(inner))?.code).toBe('22012');
        expect(await get(tx)).toBe(1);
        const hiding = guard.transaction(async (deeper) => {
          await set(deeper, 5);
          await deeper.query('SELECT 1 / 0').catch(() => undefined);
        }, as('ann'));
        expect((await caught(hiding))?.code).toBe('22012');
        const both = ['a', 'b'].map((name) => guard.transaction((deeper) => set(deeper, 4, name), as('ann')));
        await Promise.all(both);
      }, as('ann'));
      expect([await inTable(), await inTable('b')]).toEqual([4, 4]);
      expect(attempts()).toEqual([1]);
    });

    it('that reads sees what was done and changes nothing', async () => {
      const guard = await guardOf();
      await guard.transaction(async (tx) => {
        await set(tx, 1);
        expect(await guard.read(get, as('ann'))).toBe(1);
        expect((await caught(guard.read((inner) => set(inner, 2), as('ann'))))?.code).toBe('25006');
        await set(tx, 3, 'b');
      }, as('ann'));
      expect([await inTable(), await inTable('b')]).toEqual([1, 3]);
    });
  });

  describe('a transaction that is ended from outside', () => {
    it('for its length is rolled back, with what it is at', async () => {
      const guard = await guardOf();
      const slow = async (tx: DatabaseClient) => {
        await set(tx, 1);
        await tx.query('SELECT pg_sleep(60)');
      };
      const beganAt = performance.now();
      const error = await caught(guard.transaction(slow, as('ann', { maxDurationMs: 150 })));
      expect(error?.code).toBe('CANCELLED');
      expect(performance.now() - beganAt).toBeLessThan(5000);
      expect([await atWork(), await inTable()]).toEqual([0, 0]);
      await outside.query('UPDATE counters SET n = 3');
    });

    it('gives nobody else the connection that its operation holds on to', async () => {
      const guard = await guardOf({ connections: 1 });
      let late: Promise<unknown> = Promise.resolve();
      const holding = async (tx: DatabaseClient) => {
        const raw = tx.postgres;
        late = sleep(200).then(() => caught(raw.query('UPDATE counters SET n = 9')));
        await new Promise(() => undefined);
      };
      await caught(guard.transaction(holding, as('ann', { maxDurationMs: 50 })));
      await guard.transaction(async (tx) => {
        expect(await late).toBeInstanceOf(Error);
        await set(tx, 2);
      }, as('bob'));
      expect(await inTable()).toBe(2);
    });

    it('by its caller is rolled back, with what it is at', async () => {
      const guard = await guardOf();
      const stop = new AbortController();
      const stopped = guard.transaction(
        async (tx) => {
          await set(tx, 1);
          setTimeout(() => stop.abort(), 50);
          await tx.query('SELECT pg_sleep(60)');
        },
        as('ann', { signal: stop.signal }),
      );
      expect((await caught(stopped))?.code).toBe('CANCELLED');
      expect([await atWork(), await inTable()]).toEqual([0, 0]);
    });
  });

  describe('reads', () => {
    it('see one state of the database, whatever is committed meanwhile', async () => {
      const guard = await guardOf();
      const seen = await guard.read(async (tx) => {
        await outside.query('UPDATE counters SET n = 1');
        const first = await get(tx);
        await outside.query('UPDATE counters SET n = 2');
        return [first, await get(tx, 'b')];
      }, as('ann'));
      expect(seen).toEqual([0, 0]);
      expect(await guard.read(get, as('ann'))).toBe(2);
    });

    it('take no lease and change nothing', async () => {
      const maasl = await maaslOf();
      const guard = await guardOf({}, maasl);
      const held = await maasl.locks.acquire(guard.resourceKey, { agentId: 'bob', sessionId: 'b' });
      expect((await caught(guard.read((tx) => set(tx, 1), as('ann'))))?.code).toBe('25006');
      expect(await inTable()).toBe(0);
      await held.release();
    });
  });
});
