// Locks of several machines: stomp-serve's on PostgreSQL against its advisory locks. Two connections stand for two machines.
import pg from 'pg';
import { LockManager } from '../../dist/guard/lock-manager.js';
import { SqlTable } from '../../dist/guard/sql-table.js';
import { PostgresStorage } from '../../dist/storage/postgres.js';
import { percentile, times } from './times.mjs';

const rounds = 500;
const handOvers = 300;

async function openOurs(url) {
  const storage = new PostgresStorage({ url, schema: 'bench' });
  const locks = new LockManager({ table: await SqlTable.open({ storage }) });
  const acquire = async (who, maxWaitMs = 0) => {
    const lease = await locks.acquire('db:bench', { agentId: who, sessionId: who, maxWaitMs });
    return () => lease.release();
  };
  return { acquire, close: () => locks.close().then(() => storage.close()) };
}

async function openRival(url) {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const acquire = async () => {
    await client.query('SELECT pg_advisory_lock(7)');
    return () => client.query('SELECT pg_advisory_unlock(7)');
  };
  return { acquire, close: () => client.end() };
}

/** Microseconds from the one's call of release until the other, who waits, has it. */
async function handOver(one, other) {
  const samples = [];
  for (let i = 0; i < handOvers; i++) {
    const release = await one.acquire('one');
    let released = 0;
    const waiting = other.acquire('other', 10_000).then(async (free) => {
      samples.push((performance.now() - released) * 1000);
      await free();
    });
    await new Promise((resolve) => setTimeout(resolve, 10)); // it stands in the queue
    released = performance.now();
    await release();
    await waiting;
  }
  return samples;
}

export async function postgresTrial(url) {
  const ours = [await openOurs(url), await openOurs(url)];
  const rival = [await openRival(url), await openRival(url)];
  const alone = {
    ours: await times(rounds, () => ours[0].acquire('one')),
    rival: await times(rounds, rival[0].acquire),
  };
  const handed = { ours: await handOver(...ours), rival: await handOver(...rival) };
  for (const side of [...ours, ...rival]) await side.close();
  return {
    'PostgreSQL: acquire, p50': {
      ours: percentile(alone.ours.acquire, 0.5),
      rival: percentile(alone.rival.acquire, 0.5),
    },
    'PostgreSQL: hand-over, p50': {
      ours: percentile(handed.ours, 0.5),
      rival: percentile(handed.rival, 0.5),
    },
    'PostgreSQL: hand-over, p99': {
      ours: percentile(handed.ours, 0.99),
      rival: percentile(handed.rival, 0.99),
    },
  };
}
