/** A database by its address. */
import type { Storage } from './storage.js';

/** @param address a file, or `postgres://user:password@host:port/database` */
export async function openStorage(address: string): Promise<Storage> {
  // Each client is loaded only by those who use it.
  if (isPostgres(address)) {
    const { PostgresStorage } = await import('./postgres.js');
    return new PostgresStorage({ url: address });
  }
  const { SqliteStorage } = await import('./sqlite.js');
  return new SqliteStorage({ path: address });
}

export function isPostgres(address: string): boolean {
  return /^postgres(ql)?:\/\//.test(address);
}
