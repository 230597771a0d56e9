// Locks of one process: stomp-serve's in memory against async-mutex.
import { Mutex } from 'async-mutex';
import { LockManager } from '../../dist/guard/lock-manager.js';
import { MemoryTable } from '../../dist/guard/memory-table.js';

const rounds = 20_000;
const owner = { agentId: 'bench', sessionId: 'bench' };
const next = { agentId: 'next', sessionId: 'next', maxWaitMs: 10_000 };

/** Microseconds for acquire and release, nobody else wanting it. */
async function uncontended(once) {
  const began = performance.now();
  for (let i = 0; i < rounds; i++) await once();
  return ((performance.now() - began) / rounds) * 1000;
}

/** Microseconds from the holder's release until who waits has it, one after the other. */
async function handOver(acquire) {
  const samples = [];
  for (let i = 0; i < 2000; i++) {
    const release = await acquire(owner);
    let released = 0;
    const waiting = acquire(next).then(async (free) => {
      samples.push((performance.now() - released) * 1000);
      await free();
    });
    await Promise.resolve();
    released = performance.now();
    await release();
    await waiting;
  }
  return samples.sort((a, b) => a - b)[samples.length >> 1];
}

export async function memoryTrial() {
  const mutex = new Mutex();
  const locks = new LockManager({ table: new MemoryTable() });
  const ours = async (who) => {
    const lease = await locks.acquire('code:/a', who);
    return () => lease.release();
  };
  const theirs = () => mutex.acquire();
  const figures = {
    'memory: acquire and release': {
      ours: await uncontended(async () => (await ours(owner))()),
      rival: await uncontended(async () => (await theirs())()),
    },
    'memory: hand-over': { ours: await handOver(ours), rival: await handOver(theirs) },
  };
  await locks.close();
  return figures;
}
