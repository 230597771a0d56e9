/** Stores of records that nobody else uses, for suites that run on all kinds. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FolderStore } from '../../../ts/reservations/records/folder-store.js';
import { SqlRecordStore } from '../../../ts/reservations/records/sql-store.js';
import type { RecordStore } from '../../../ts/reservations/records/store.js';
import type { TestDatabase } from '../../servers/databases.js';

export interface StoreBench {
  /** The same records each time, as another process would open them. */
  open(options?: { patienceMs?: number }): Promise<RecordStore>;
  /** Those of another repository, kept beside them. */
  openOther(): Promise<RecordStore>;
  close(): Promise<void>;
}

export async function folderBench(): Promise<StoreBench> {
  const folders = [1, 2].map(() => mkdtempSync(join(tmpdir(), 'stomp-records-')));
  const [root = '', other = ''] = folders;
  return {
    open: (options = {}) => FolderStore.open(root, options),
    openOther: () => FolderStore.open(other),
    close: async () => {
      for (const folder of folders) rmSync(folder, { recursive: true });
    },
  };
}

export async function sqlBench(database: TestDatabase): Promise<StoreBench> {
  const open = async (repository: string, options = {}) =>
    SqlRecordStore.open({ storage: await database.connect(), repository, ...options });
  return {
    open: (options) => open('one', options),
    openOther: () => open('other'),
    close: () => database.close(),
  };
}
