import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { MemoryTable } from '../../../ts/guard/memory-table.js';
import type { Bench } from './lock-manager.suite.js';
import { lockManagerSuite } from './lock-manager.suite.js';
import { lockModelSuite } from './lock-model.suite.js';

const start = async (): Promise<Bench> => ({
  open: async () => new MemoryTable(),
  close: async () => undefined,
});

lockManagerSuite('in memory', start);
lockModelSuite('in memory', start, 100, 1);

describe('lock table in memory', () => {
  it('drops expired leases although nobody asks for their keys again', async () => {
    const table = new MemoryTable();
    const owner = { agentId: 'ann', sessionId: 'ann-1' };
    let expired = 0;
    table.events = { expired: () => expired++ };
    const limit = { maxWaitMs: 0, signal: undefined };
    for (let i = 0; i < 10_000; i++) {
      const keys = [{ key: `code:/${i}`, mode: 'exclusive' as const }];
      await table.acquire({ owner, keys, ttlMs: 1 }, limit);
      if (i % 1000 === 0) await sleep(3);
    }
    expect(expired).toBeGreaterThan(5000);
  });
});
