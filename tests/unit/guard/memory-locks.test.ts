import { MemoryTable } from '../../../ts/guard/memory-table.js';
import { lockManagerSuite } from './lock-manager.suite.js';

lockManagerSuite('in memory', async () => ({
  open: async () => new MemoryTable(),
  close: async () => undefined,
}));
