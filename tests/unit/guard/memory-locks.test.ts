import { MemoryTable } from '../../../ts/guard/memory-table.js';
import type { Bench } from './lock-manager.suite.js';
import { lockManagerSuite } from './lock-manager.suite.js';
import { lockModelSuite } from './lock-model.suite.js';

const start = async (): Promise<Bench> => ({
  open: async () => new MemoryTable(),
  close: async () => undefined,
});

lockManagerSuite('in memory', start);
lockModelSuite('in memory', start, 60, 1);
