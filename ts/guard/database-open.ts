/** Which database a caller means. Each driver is loaded only by those who use it. */
import { fileURLToPath } from 'node:url';
import type Database from 'better-sqlite3';
import type { Pool } from 'pg';
import { refuse } from '../arguments.js';
import { StompError } from '../errors.js';
import { canonicalPath } from '../paths.js';
import { isPostgres } from '../storage/open.js';
import type { Storage } from '../storage/storage.js';
import type { GuardedDatabase } from './database-session.js';

export interface OpenSetup {
  /** To an SQLite file those that read, to PostgreSQL all. */
  readonly connections: number;
  /** Where the locks are kept. */
  readonly locks: Storage | undefined;
}

const allowed =
  'the path of an SQLite file, postgres://user:password@host:port/database, a better-sqlite3 handle, or a pg Pool';

/** @throws StompError INVALID_REQUEST, PATH_DENIED */
export async function openDatabase(
  database: string | Database.Database | Pool,
  setup: OpenSetup,
): Promise<GuardedDatabase> {
  if (typeof database === 'string' && isPostgres(database)) return openUrl(database, setup);
  if (isPool(database)) {
    const { PostgresDatabase } = await import('./postgres-guard.js');
    return PostgresDatabase.openPool(database);
  }
  const { SqliteDatabase } = await import('./sqlite-guard.js');
  if (isHandle(database)) return apart(await SqliteDatabase.openHandle(database), setup);
  return apart(await SqliteDatabase.openPath(pathOf(database), setup.connections), setup);
}

async function openUrl(url: string, { connections }: OpenSetup): Promise<GuardedDatabase> {
  // Not quoted: it may have a password in it.
  if (!URL.canParse(url)) refuse('database', 'an address that cannot be read', allowed);
  const { PostgresDatabase } = await import('./postgres-guard.js');
  return PostgresDatabase.openUrl(url, connections);
}

function pathOf(database: unknown): string {
  if (typeof database !== 'string' || /^(\s*|:memory:)$/.test(database))
    return refuse('database', database, allowed);
  if (/^file:\/\//i.test(database)) return filePath(database);
  if (/^[a-z][a-z+]*:\/\//i.test(database)) refuse('database', database.replace(/\/\/.*/, '//…'), allowed);
  return database;
}

function filePath(url: string): string {
  try {
    return fileURLToPath(url);
  } catch (error) {
    throw new StompError('INVALID_REQUEST', `database must be ${allowed}; this is no file: ${url}.`, {
      fields: { field: 'database', value: url },
      cause: error,
    });
  }
}

/** A transaction would keep the lock table, in the same file, from renewing the very lease that it runs under. */
async function apart(database: GuardedDatabase, { locks }: OpenSetup): Promise<GuardedDatabase> {
  if (locks?.dialect !== 'sqlite' || (await canonicalPath(locks.name)) !== database.identifier)
    return database;
  await database.close();
  throw new StompError(
    'INVALID_REQUEST',
    `${database.identifier} is where the locks are kept; a transaction in it would hold them up. Guard another file, or keep the locks in another.`,
    { fields: { field: 'database', database: database.identifier } },
  );
}

function isHandle(database: unknown): database is Database.Database {
  const handle = database as Partial<Database.Database> | null;
  return (
    typeof handle === 'object' &&
    handle !== null &&
    has(handle, 'prepare', 'pragma') &&
    'inTransaction' in handle
  );
}

function isPool(database: unknown): database is Pool {
  const pool = database as Partial<Pool> | null;
  return typeof pool === 'object' && pool !== null && has(pool, 'connect', 'query') && 'totalCount' in pool;
}

function has(value: object, ...methods: string[]): boolean {
  return methods.every((name) => typeof (value as Record<string, unknown>)[name] === 'function');
}
