/** A lock table whose database fails or falls silent. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { StompError } from '../../../ts/errors.js';
import { LockManager } from '../../../ts/guard/lock-manager.js';
import { Maasl } from '../../../ts/guard/maasl.js';
import { SqlTable } from '../../../ts/guard/sql-table.js';
import { SqliteStorage } from '../../../ts/storage/sqlite.js';
import { WrappedStorage } from './wrapped-storage.js';

const as = (agentId: string) => ({ agentId, sessionId: `${agentId}-1`, ttlMs: 60_000 });
const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'ok',
    (error: StompError) => error.code,
  );

describe('lock table whose database fails', () => {
  let folder: string;
  let storage: WrappedStorage;
  let locks: LockManager;
  let others: LockManager;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'stomp-table-'));
    const path = join(folder, 'stomp.db');
    storage = new WrappedStorage(new SqliteStorage({ path }));
    locks = new LockManager({ table: await SqlTable.open({ storage }) });
    others = new LockManager({ table: await SqlTable.open({ storage: new SqliteStorage({ path }) }) });
  });
  afterEach(async () => {
    await others.close();
    rmSync(folder, { recursive: true });
  });

  it('takes those who gave up meanwhile out of the queue as soon as it can, while others go on waiting', async () => {
    const a = await others.acquire('code:/a', as('ann'));
    const b = await others.acquire('code:/b', as('ann'));
    const waiting = locks.acquire('code:/b', { ...as('bob'), maxWaitMs: 60_000 });
    const gone = codeOf(locks.acquire('code:/a', { ...as('cid'), maxWaitMs: 300 }));
    await sleep(100);
    storage.beforeStatement = ({ sql }) => {
      if (sql.startsWith('DELETE FROM stomp_lock_waiters')) throw new Error('no room');
    };
    expect(await gone).not.toBe('ok');
    storage.beforeStatement = () => undefined;
    await a.release();
    expect(await codeOf(others.acquire('code:/a', { ...as('dan'), maxWaitMs: 5000 }))).toBe('ok');
    await b.release();
    await (await waiting).release();
    await locks.close();
  });

  it('gives back what is granted while it closes', async () => {
    storage.beforeWrite = () => sleep(50);
    const asked = codeOf(locks.acquire('code:/a', as('bob')));
    await sleep(10);
    await locks.close();
    expect(await asked).toBe('SHUTTING_DOWN');
    expect(await others.snapshot()).toEqual([]);
  });

  it('does not keep a waiter for much longer than it wanted to wait', async () => {
    await others.acquire('code:/a', as('ann'));
    const late = codeOf(locks.acquire('code:/a', { ...as('bob'), maxWaitMs: 200 }));
    await sleep(100);
    storage.beforeWrite = () => new Promise(() => undefined);
    expect(await Promise.race([late, sleep(8000, 'still waiting')])).toBe('DB_BUSY');
  });
});

describe('lock table on SQLite after the machine was started anew', () => {
  it('forgets who held what before and removes what was staged, and goes on with the tokens', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'stomp-boot-'));
    const path = join(folder, 'stomp.db');
    const staged = join(folder, '.a.stomp');
    writeFileSync(staged, 'half');
    const before = await Maasl.open({ database: path });
    const held = await before.locks.acquire('code:/a', { ...as('ann'), detached: true });
    await before.fences.accept(held.tokens, staged);
    await before.close();
    // The clock of the machine has begun anew: what is in the file lies in its future.
    const db = new Database(path);
    db.exec(
      'UPDATE stomp_lock_counters SET seen_at = seen_at + 1e12; UPDATE stomp_locks SET expires_at = expires_at + 1e12',
    );
    db.close();
    const after = await Maasl.open({ database: path });
    expect(await after.locks.snapshot()).toEqual([]);
    expect(existsSync(staged)).toBe(false);
    const next = await after.locks.acquire('code:/a', as('bob'));
    expect(next.tokens.get('code:/a')).toBeGreaterThan(held.tokens.get('code:/a') ?? 0n);
    await after.close();
    rmSync(folder, { recursive: true });
  });
});
