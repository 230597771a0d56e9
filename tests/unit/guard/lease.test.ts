/** Leases over a table that is slow, silent or out of order. */
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { LockManager } from '../../../ts/guard/lock-manager.js';
import { MemoryTable } from '../../../ts/guard/memory-table.js';

const ann = { agentId: 'ann', sessionId: 'ann-1' };

describe('lease', () => {
  it('that renews itself says when its time is up although the table does not answer', async () => {
    const table = new MemoryTable();
    const locks = new LockManager({ table });
    table.renew = () => new Promise(() => undefined);
    const lease = await locks.acquire('code:/a', { ...ann, ttlMs: 100, autoRenew: true });
    const { signal } = lease;
    await sleep(300);
    expect(lease.held).toBe(false);
    expect(signal.aborted).toBe(true);
    expect(signal.reason).toMatchObject({ code: 'LEASE_LOST' });
  });

  it('that renews itself does so in time also after it was renewed by hand for a shorter time', async () => {
    const locks = new LockManager({ table: new MemoryTable() });
    const lease = await locks.acquire('code:/a', { ...ann, ttlMs: 60_000, autoRenew: true });
    await lease.renew(300);
    await sleep(900);
    expect(lease.held).toBe(true);
    await lease.release();
  });

  it('goes on renewing itself when the table fails once', async () => {
    const table = new MemoryTable();
    const locks = new LockManager({ table });
    const renew = table.renew.bind(table);
    let failures = 1;
    table.renew = (grant, ttlMs) => (failures-- > 0 ? Promise.reject(new Error('out')) : renew(grant, ttlMs));
    const lease = await locks.acquire('code:/a', { ...ann, ttlMs: 600, autoRenew: true });
    await sleep(1500);
    expect(failures).toBeLessThan(0);
    expect(lease.held).toBe(true);
    await lease.release();
  });

  it('can be released again when the table has failed', async () => {
    const table = new MemoryTable();
    const locks = new LockManager({ table });
    const release = table.release.bind(table);
    let failures = 1;
    table.release = (grant) => (failures-- > 0 ? Promise.reject(new Error('out')) : release(grant));
    const lease = await locks.acquire('code:/a', ann);
    await expect(lease.release()).rejects.toThrow('out');
    await lease.release();
    await lease.release();
    expect(failures).toBe(-1);
    expect(await locks.snapshot()).toEqual([]);
  });
});
