/** What every lock table promises, in memory or in a database. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import type { StompError } from '../../../ts/errors.js';
import type { Lease } from '../../../ts/guard/lease.js';
import { type AcquireOptions, LockManager } from '../../../ts/guard/lock-manager.js';
import type { LockTable } from '../../../ts/guard/lock-table.js';

export interface Bench {
  /** Tables opened one after the other share their locks, where there is something to share. */
  open(): Promise<LockTable>;
  close(): Promise<void>;
}

const as = (agentId: string, more: Partial<AcquireOptions> = {}): AcquireOptions => ({
  agentId,
  sessionId: `${agentId}-1`,
  ...more,
});

const code = (error: StompError) => error.code;

async function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(() => 'ok', code);
}

const tokenOf = (lease: Lease, key = lease.keys[0] ?? '') => lease.tokens.get(key) ?? -1n;

/** Until so many wait. */
async function queued(locks: LockManager, count: number): Promise<void> {
  while ((await locks.waiting()).length !== count) await sleep(2);
}

export function lockManagerSuite(name: string, start: () => Promise<Bench>): void {
  describe(`lock manager, ${name}`, () => {
    let bench: Bench;
    const managers: LockManager[] = [];

    async function manager(): Promise<LockManager> {
      const locks = new LockManager({ table: await bench.open() });
      managers.push(locks);
      return locks;
    }

    async function begin(): Promise<LockManager> {
      bench = await start();
      return manager();
    }

    afterEach(async () => {
      await Promise.all(managers.splice(0).map((locks) => locks.close()));
      await bench.close();
    });

    it('gives a key to one holder at a time, under rising tokens', async () => {
      const locks = await begin();
      const first = await locks.acquire('code:/a', as('ann'));
      expect(await codeOf(locks.acquire('code:/a', as('bob')))).toBe('RESOURCE_BUSY');
      await first.release();
      const second = await locks.acquire('code:/a', as('bob'));
      const other = await locks.acquire('code:/b', as('bob'));
      expect(tokenOf(second)).toBeGreaterThan(tokenOf(first));
      expect(tokenOf(other)).toBeGreaterThan(tokenOf(second));
    });

    it('says who is in the way, and how long was waited', async () => {
      const locks = await begin();
      await locks.acquire('code:/a', as('ann'));
      const error = await locks.acquire('code:/a', as('bob', { maxWaitMs: 40 })).catch((e: StompError) => e);
      expect(error).toMatchObject({
        code: 'RESOURCE_BUSY',
        status: 409,
        fields: {
          resource_key: 'code:/a',
          holder_agent_id: 'ann',
          holder_session_id: 'ann-1',
          max_wait_ms: 40,
        },
      });
      expect((error as StompError).fields['wait_ms']).toBeGreaterThanOrEqual(39);
    });

    it('takes a set whole or not at all, each key once', async () => {
      const locks = await begin();
      const held = await locks.acquire('code:/b', as('ann'));
      expect(await codeOf(locks.acquire(['code:/a', 'code:/b'], as('bob')))).toBe('RESOURCE_BUSY');
      const a = await locks.acquire(['code:/a', 'code:/a'], as('cid'));
      expect(a.keys).toEqual(['code:/a']);
      await Promise.all([held.release(), a.release()]);
      const both = await locks.acquire(['code:/b', 'code:/a'], as('bob'));
      expect(both.keys).toEqual(['code:/a', 'code:/b']);
    });

    it('hands over to those who wait, in the order in which they asked', async () => {
      const locks = await begin();
      const held = await locks.acquire('code:/a', as('ann'));
      const order: string[] = [];
      const waiting = ['bob', 'cid', 'dan'].map(async (agent) => {
        const lease = await locks.acquire('code:/a', as(agent, { maxWaitMs: 15_000 }));
        order.push(agent);
        await lease.release();
      });
      await queued(locks, 3);
      await held.release();
      await Promise.all(waiting);
      expect(order).toEqual(['bob', 'cid', 'dan']);
    });

    it('does not starve a waiter for two keys', async () => {
      const locks = await begin();
      const a = await locks.acquire('code:/a', as('ann'));
      const order: string[] = [];
      const take = async (agent: string, keys: string[]) => {
        const lease = await locks.acquire(keys, as(agent, { maxWaitMs: 15_000 }));
        order.push(agent);
        await lease.release();
      };
      const both = take('bob', ['code:/a', 'code:/b']);
      await queued(locks, 1);
      const late = take('cid', ['code:/b']); // free, but bob asked first
      await queued(locks, 2);
      expect(order).toEqual([]);
      await a.release();
      await Promise.all([both, late]);
      expect(order).toEqual(['bob', 'cid']);
    });

    it('lets readers share, and keeps a writer from starving', async () => {
      const locks = await begin();
      const one = await locks.acquire('code:/a', as('ann', { mode: 'shared' }));
      const two = await locks.acquire('code:/a', as('bob', { mode: 'shared' }));
      const writer = locks.acquire('code:/a', as('cid', { maxWaitMs: 15_000 }));
      await queued(locks, 1);
      expect(await codeOf(locks.acquire('code:/a', as('dan', { mode: 'shared' })))).toBe('RESOURCE_BUSY');
      await Promise.all([one.release(), two.release()]);
      await (await writer).release();
    });

    it('grants a reader behind a reader that waits for something else as well', async () => {
      const locks = await begin();
      const writer = await locks.acquire('code:/a', as('ann'));
      const other = await locks.acquire('code:/z', as('ann'));
      const first = locks.acquire(
        [
          { key: 'code:/a', mode: 'shared' },
          { key: 'code:/z', mode: 'exclusive' },
        ],
        as('bob', { maxWaitMs: 15_000 }),
      );
      await queued(locks, 1);
      const second = locks.acquire('code:/a', as('cid', { mode: 'shared', maxWaitMs: 15_000 }));
      await queued(locks, 2);
      await writer.release();
      await (await second).release();
      await other.release();
      await (await first).release();
    });

    it('passes on at expiry, and leaves the new holder alone', async () => {
      const locks = await begin();
      const stale = await locks.acquire('code:/a', as('ann', { ttlMs: 60 }));
      const { signal } = stale;
      const next = await locks.acquire('code:/a', as('bob', { maxWaitMs: 2000 }));
      expect(tokenOf(next)).toBeGreaterThan(tokenOf(stale));
      expect(await codeOf(stale.renew())).toBe('LEASE_LOST');
      expect(signal.aborted).toBe(true);
      expect(signal.reason).toMatchObject({ code: 'LEASE_LOST' });
      expect(await codeOf(stale.release())).toBe('LEASE_LOST');
      expect(next.held).toBe(true);
      await next.renew();
      await next.release();
    });

    it('renews, by hand and by itself', async () => {
      const locks = await begin();
      const lease = await locks.acquire('code:/a', as('ann', { ttlMs: 500 }));
      const kept = await locks.acquire('code:/b', as('ann', { ttlMs: 500, autoRenew: true }));
      await sleep(300);
      await lease.renew(10_000);
      await sleep(600);
      expect(lease.held).toBe(true);
      expect(kept.held).toBe(true);
      expect(await codeOf(locks.acquire(['code:/a'], as('bob')))).toBe('RESOURCE_BUSY');
      expect(await codeOf(locks.acquire(['code:/b'], as('bob')))).toBe('RESOURCE_BUSY');
    });

    it('counts what one session holds again, under one token', async () => {
      const locks = await begin();
      const outer = await locks.acquire('code:/a', as('ann'));
      const waiting = locks.acquire('code:/a', as('bob', { maxWaitMs: 15_000 }));
      await queued(locks, 1);
      const inner = await locks.acquire('code:/a', as('ann')); // not behind bob, who waits for it
      expect(tokenOf(inner)).toBe(tokenOf(outer));
      await inner.release();
      expect(await codeOf(locks.acquire('code:/a', as('cid')))).toBe('RESOURCE_BUSY');
      await outer.release();
      await (await waiting).release();
      expect(await codeOf(locks.acquire('code:/a', as('ann', { sessionId: 'another' })))).toBe('ok');
    });

    it('lets a holder pass those who wait for it, also where it has to wait for something else', async () => {
      const locks = await begin();
      const mine = await locks.acquire('code:/a', as('ann'));
      const other = await locks.acquire('code:/z', as('cid'));
      const behind = locks.acquire('code:/a', as('bob', { maxWaitMs: 15_000 }));
      await queued(locks, 1);
      const again = locks.acquire(['code:/a', 'code:/z'], as('ann', { maxWaitMs: 60_000 }));
      await queued(locks, 2);
      await other.release();
      await (await again).release();
      await mine.release();
      await (await behind).release();
    });

    it('lets one who has just become a holder pass those who wait for it and for something else', async () => {
      const locks = await begin();
      const key = await locks.acquire('code:/a', as('bob'));
      const other = await locks.acquire('db:x', as('bob'));
      const patient = { maxWaitMs: 60_000 };
      const first = locks.acquire('code:/a', as('ann', patient));
      await queued(locks, 1);
      const second = locks.acquire(['code:/a', 'db:x'], as('ann', patient));
      await queued(locks, 2);
      const third = locks.acquire('code:/a', as('ann', patient));
      await queued(locks, 3);
      await key.release();
      const both = await Promise.all([first, third]);
      await Promise.all(both.map((lease) => lease.release()));
      await other.release();
      await (await second).release();
    });

    it('keeps a directory and what lies in it apart from each other', async () => {
      const locks = await begin();
      const folder = await locks.acquire('code:/a/', as('ann'));
      expect(await codeOf(locks.acquire('code:/a/b/c', as('bob')))).toBe('RESOURCE_BUSY');
      expect(await codeOf(locks.acquire('code:/ab', as('bob')))).toBe('ok');
      await folder.release();
      const file = await locks.acquire('code:/a/b/c', as('bob'));
      expect(await codeOf(locks.acquire('code:/a/', as('ann')))).toBe('RESOURCE_BUSY');
      const waiting = locks.acquire('code:/a/b/', as('ann', { maxWaitMs: 15_000 }));
      await queued(locks, 1);
      expect(await codeOf(locks.acquire('code:/a/b/d', as('cid')))).toBe('RESOURCE_BUSY');
      await file.release();
      await (await waiting).release();
    });

    it('forgets a waiter that is called off or has waited long enough', async () => {
      const locks = await begin();
      const held = await locks.acquire('code:/a', as('ann'));
      const abort = new AbortController();
      const gone = codeOf(locks.acquire('code:/a', as('bob', { maxWaitMs: 15_000, signal: abort.signal })));
      const late = codeOf(locks.acquire('code:/a', as('cid', { maxWaitMs: 1000 })));
      await queued(locks, 2);
      expect((await locks.snapshot())[0]?.waiters).toBe(2);
      abort.abort();
      expect(await gone).toBe('CANCELLED');
      expect(await late).toBe('RESOURCE_BUSY');
      await queued(locks, 0);
      expect((await locks.snapshot())[0]?.waiters).toBe(0);
      await held.release();
      await (await locks.acquire('code:/a', as('dan'))).release();
    });

    it('lets any session of its holder renew and release a lease, and no other agent', async () => {
      const locks = await begin();
      const { tokens } = await locks.acquire('code:/a', as('ann', { detached: true }));
      const of = (agentId: string) => locks.resume(tokens, { agentId, sessionId: 'another' });
      expect(await codeOf(of('bob').renew())).toBe('LEASE_LOST');
      expect(await codeOf(of('bob').release())).toBe('LEASE_LOST');
      expect((await locks.snapshot())[0]?.holder_agent_id).toBe('ann');
      await of('ann').renew();
      await of('ann').release();
      expect(await locks.snapshot()).toEqual([]);
    });

    it('gives back what was granted to one who no longer wants it', async () => {
      const locks = await begin();
      const abort = new AbortController();
      const gone = codeOf(locks.acquire('code:/a', as('ann', { signal: abort.signal })));
      abort.abort();
      expect(await gone).toBe('CANCELLED');
      await (await locks.acquire('code:/a', as('bob', { maxWaitMs: 15_000 }))).release();
    });

    it('shows what is held, and no more when it is not', async () => {
      const locks = await begin();
      const lease = await locks.acquire(['code:/a', 'db:x'], as('ann', { ttlMs: 5000 }));
      const [a, db] = await locks.snapshot();
      expect(a).toMatchObject({
        resource_key: 'code:/a',
        holder_agent_id: 'ann',
        holder_session_id: 'ann-1',
        fencing_token: tokenOf(lease, 'code:/a').toString(),
        waiters: 0,
      });
      expect(a?.ttl_remaining_ms).toBeGreaterThan(4000);
      expect(db?.resource_key).toBe('db:x');
      await lease.release();
      expect(await locks.snapshot()).toEqual([]);
    });

    it('names those who wait, in the order in which they asked', async () => {
      const locks = await begin();
      const other = await manager();
      const held = await locks.acquire('code:/a', as('ann'));
      expect(await locks.waiting()).toEqual([]);
      const abort = new AbortController();
      const first = locks.acquire(['code:/a', 'code:/0'], as('bob', { maxWaitMs: 15_000 }));
      await queued(locks, 1);
      const second = codeOf(locks.acquire('code:/a', as('cid', { maxWaitMs: 15_000, signal: abort.signal })));
      await queued(locks, 2);
      const bob = { agent_id: 'bob', session_id: 'bob-1', resource_keys: ['code:/0', 'code:/a'] };
      const cid = { agent_id: 'cid', session_id: 'cid-1', resource_keys: ['code:/a'] };
      expect(await locks.waiting()).toEqual([bob, cid]);
      if (locks.durable) expect(await other.waiting()).toEqual([bob, cid]);
      abort.abort();
      expect(await second).toBe('CANCELLED');
      await held.release();
      await (await first).release();
      expect(await locks.waiting()).toEqual([]);
    });

    it('serves a thousand who wait for one key in order', async () => {
      const locks = await begin();
      const held = await locks.acquire('code:/a', as('ann'));
      const served: number[] = [];
      const crowd = Array.from({ length: 1000 }, async (_, i) => {
        const lease = await locks.acquire('code:/a', as(`agent-${i}`, { maxWaitMs: 120_000 }));
        served.push(i);
        await lease.release();
      });
      await held.release();
      await Promise.all(crowd);
      expect(served).toEqual(Array.from({ length: 1000 }, (_, i) => i));
    });

    it('refuses what makes no sense', async () => {
      const locks = await begin();
      const bad = [
        locks.acquire([], as('ann')),
        locks.acquire('', as('ann')),
        locks.acquire('code:/a', as('ann', { ttlMs: 0 })),
        locks.acquire('code:/a', as('ann', { maxWaitMs: -1 })),
        locks.acquire('code:/a', as('')),
        locks.acquire('code:/a', { agentId: 'ann' } as AcquireOptions),
        locks.acquire('code:/a', as('ann', { mode: 'both' as never })),
      ];
      expect(await Promise.all(bad.map(codeOf))).toEqual(Array(bad.length).fill('INVALID_REQUEST'));
      expect(await codeOf(locks.acquire('code:/a', { ...as('ann'), ttl: 5 } as AcquireOptions))).toBe(
        'UNSUPPORTED_FIELD',
      );
    });

    it('refuses more keys than a database takes at once, and nobody else suffers for it', async () => {
      const locks = await begin();
      const numbered = (count: number, name: (i: number) => string) =>
        Array.from({ length: count }, (_, i) => name(i));
      const held = await locks.acquire('code:/a', as('ann'));
      const answers = await Promise.all([
        codeOf(locks.acquire(numbered(33_000, String), as('bob'))),
        codeOf(
          locks.acquire(
            numbered(1001, (i) => `code:/${i}/`),
            as('bob'),
          ),
        ),
        codeOf(
          locks.acquire(
            numbered(40, (i) => `code:/${i}${'/d'.repeat(1000)}`),
            as('bob'),
          ),
        ),
        codeOf(locks.acquire('code:/b', as('ann'))),
        codeOf(held.release()),
      ]);
      expect(answers).toEqual(['INVALID_REQUEST', 'INVALID_REQUEST', 'INVALID_REQUEST', 'ok', 'ok']);
      expect(
        await codeOf(
          locks.acquire(
            numbered(500, (i) => `code:/${i}/`),
            as('bob'),
          ),
        ),
      ).toBe('ok');
    });

    it('refuses those who wait when it closes, and releases what it held', async () => {
      const locks = await begin();
      const other = await manager();
      await locks.acquire('code:/a', as('ann'));
      const waiting = codeOf(locks.acquire('code:/a', as('bob', { maxWaitMs: 15_000 })));
      await queued(locks, 1);
      await locks.close();
      expect(await waiting).toMatch(/SHUTTING_DOWN|ok/);
      expect(await codeOf(locks.acquire('code:/a', as('cid')))).toBe('SHUTTING_DOWN');
      expect(await codeOf(other.acquire('code:/a', as('cid')))).toBe('ok');
    });
  });
}
