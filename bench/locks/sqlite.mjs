// Locks of several processes of one machine: stomp-serve's on SQLite against proper-lockfile.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import lockfile from 'proper-lockfile';
import { LockManager } from '../../dist/guard/lock-manager.js';
import { SqlTable } from '../../dist/guard/sql-table.js';
import { SqliteStorage } from '../../dist/storage/sqlite.js';
import { percentile, times } from './times.mjs';

const rounds = 1000;

export async function openSqlite(path) {
  return new LockManager({ table: await SqlTable.open({ storage: new SqliteStorage({ path }) }) });
}

export async function sqliteTrial() {
  const folder = mkdtempSync(join(tmpdir(), 'stomp-bench-'));
  const file = join(folder, 'a');
  writeFileSync(file, '');
  const locks = await openSqlite(join(folder, 'stomp.db'));
  const ours = await times(rounds, async () => {
    const lease = await locks.acquire(`code:${file}`, { agentId: 'bench', sessionId: 'bench' });
    return () => lease.release();
  });
  const rival = await times(rounds, () => lockfile.lock(file));
  await locks.close();
  rmSync(folder, { recursive: true });
  return {
    'SQLite: acquire, p50': { ours: percentile(ours.acquire, 0.5), rival: percentile(rival.acquire, 0.5) },
    'SQLite: acquire, p99': { ours: percentile(ours.acquire, 0.99), rival: percentile(rival.acquire, 0.99) },
    'SQLite: release, p50': { ours: percentile(ours.release, 0.5), rival: percentile(rival.release, 0.5) },
  };
}
