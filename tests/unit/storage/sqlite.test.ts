import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SqliteStorage } from '../../../ts/storage/sqlite.js';
import { rows } from '../../../ts/storage/storage.js';

const migrations = [{ name: 'a', sqlite: ['CREATE TABLE a (n INTEGER) STRICT'], postgres: [] }];

describe('storage in SQLite', () => {
  let folder: string;
  let path: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'stomp-sqlite-'));
    path = join(folder, 'stomp.db');
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it('waits for another process that is setting up the same new file', async () => {
    const other = new Database(path);
    other.exec('BEGIN EXCLUSIVE; CREATE TABLE b (n INTEGER)');
    const storage = new SqliteStorage({ path });
    const ready = storage.migrate(migrations);
    await sleep(50);
    other.exec('COMMIT');
    other.close();
    await ready;
    expect(await storage.read(() => rows('SELECT n FROM a'))).toEqual([]);
    await storage.close();
  });

  it('says what is wrong with a file that is no database', async () => {
    writeFileSync(path, 'no database, but long enough for its first page'.repeat(100));
    const storage = new SqliteStorage({ path });
    await expect(storage.migrate(migrations)).rejects.toMatchObject({
      code: 'DB_BUSY',
      fields: { last_sqlite_error: 'SQLITE_NOTADB' },
    });
    await storage.close();
  });

  it('does not take a fault of the work for one of the database', async () => {
    const storage = new SqliteStorage({ path });
    await storage.migrate(migrations);
    const faulty = storage.write(function* () {
      yield* rows('INSERT INTO a (n) VALUES (1)');
      JSON.parse('{');
    });
    await expect(faulty).rejects.toBeInstanceOf(SyntaxError);
    expect(await storage.read(() => rows('SELECT n FROM a'))).toEqual([]);
    await storage.close();
    await expect(storage.read(() => rows('SELECT 1'))).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
  });
});
