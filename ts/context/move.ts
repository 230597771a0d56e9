/** Moves a context from one database into another, both named by their addresses. */
import { existsSync } from 'node:fs';
import { refuse } from '../arguments.js';
import { isPostgres, openStorage } from '../storage/open.js';
import type { Storage } from '../storage/storage.js';
import { contextMigrations } from './schema.js';
import { type TransferOptions, type TransferResult, transferContext } from './transfer.js';

/**
 * Copies projects, sessions, current projects, events, progress logs and their entries into an empty database, and
 * compares the two by hash. Nobody should write to either meanwhile. After an interruption the same call goes on from
 * where it was. From the source it only reads; log files stay where they are, and so does what the database holds
 * beside the context (`left` in the result): runs and gates, leases and fencing tokens, graphs, reservations.
 * @param from a file of SQLite, or `postgres://…`
 * @param to another one; it is made if it is a file
 * @throws StompError INVALID_REQUEST when there is no source or the target holds something else; STATE_INVALID when the
 *   two differ at the end; CANCELLED; DB_BUSY
 */
export async function moveContext(
  from: string,
  to: string,
  options: TransferOptions = {},
): Promise<TransferResult> {
  for (const [field, address] of Object.entries({ from, to }))
    if (typeof address !== 'string' || address === '') refuse(field, address, 'a file or an address');
  // A new file would be opened too, and found empty.
  if (!isPostgres(from) && !existsSync(from)) refuse('from', from, 'a file that exists, or postgres://…');
  return opened(from, (source) => opened(to, (target) => transferContext(source, target, options)));
}

async function opened<T>(address: string, use: (storage: Storage) => Promise<T>): Promise<T> {
  const storage = await openStorage(address);
  try {
    await storage.migrate(contextMigrations);
    return await use(storage);
  } finally {
    await storage.close();
  }
}
