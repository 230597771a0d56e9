/**
 * What was once read of contents, and which contents files had, in a SQLite file that any number of processes share.
 * It can be thrown away at any time; a damaged one is.
 */
import { mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import Database from 'better-sqlite3';

/** A file as it was seen on disk; the same one has the same content. */
export interface FileState {
  readonly path: string;
  readonly bytes: number;
  /** Times and inode, as one text. */
  readonly stamp: string;
}

export interface KnownFile extends FileState {
  readonly contentId: string;
}

export interface CacheEntry {
  /** Of the content and of how it was read. */
  readonly key: string;
  readonly data: string;
}

const schemaVersion = 1;
// About 500 MB of symbols. The oldest go first.
const mostEntries = 100_000;

const schema = `
  CREATE TABLE content (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, data TEXT NOT NULL);
  CREATE TABLE file (
    root TEXT NOT NULL, path TEXT NOT NULL, bytes INTEGER NOT NULL, stamp TEXT NOT NULL, content_id TEXT NOT NULL,
    PRIMARY KEY (root, path)
  ) WITHOUT ROWID;
  PRAGMA user_version = ${schemaVersion};
`;

export class SymbolCache {
  readonly #path: string;
  #db: Database.Database;
  /** Why nothing is kept; undefined while something is. */
  problem: string | undefined;

  constructor(path: string) {
    this.#path = path;
    this.#db = this.#openOrRebuild();
  }

  /** @returns what is known of those keys; those that are not known are missing. */
  contents(keys: readonly string[]): Map<string, string> {
    return this.#attempt(() => {
      const known = new Map<string, string>();
      const statement = this.#db.prepare<[string], { data: string }>(
        'SELECT data FROM content WHERE key = ?',
      );
      const read = this.#db.transaction(() => {
        for (const key of keys) {
          const row = statement.get(key);
          if (row) known.set(key, row.data);
        }
      });
      read();
      return known;
    }, new Map());
  }

  keep(entries: readonly CacheEntry[]): void {
    if (entries.length === 0) return;
    this.#attempt(() => {
      const insert = this.#db.prepare('INSERT OR REPLACE INTO content (key, data) VALUES (?, ?)');
      const trim = this.#db.prepare('DELETE FROM content WHERE id <= (SELECT MAX(id) FROM content) - ?');
      const write = this.#db.transaction(() => {
        for (const { key, data } of entries) insert.run(key, data);
        trim.run(mostEntries);
      });
      write.immediate();
    }, undefined);
  }

  /** Files of a working tree, by path. */
  files(root: string): Map<string, KnownFile> {
    return this.#attempt(() => {
      const rows = this.#db
        .prepare<[string], KnownFile>(
          'SELECT path, bytes, stamp, content_id AS contentId FROM file WHERE root = ?',
        )
        .all(root);
      return new Map(rows.map((row) => [row.path, row]));
    }, new Map());
  }

  keepFiles(root: string, files: readonly KnownFile[], gone: readonly string[]): void {
    if (files.length === 0 && gone.length === 0) return;
    this.#attempt(() => {
      const insert = this.#db.prepare('INSERT OR REPLACE INTO file VALUES (?, ?, ?, ?, ?)');
      const remove = this.#db.prepare('DELETE FROM file WHERE root = ? AND path = ?');
      const write = this.#db.transaction(() => {
        for (const path of gone) remove.run(root, path);
        for (const { path, bytes, stamp, contentId } of files)
          insert.run(root, path, bytes, stamp, contentId);
      });
      write.immediate();
    }, undefined);
  }

  close(): void {
    this.#db.close();
  }

  /** A cache that fails holds nobody up: it is built anew, and the answer is that nothing is known. */
  #attempt<T>(work: () => T, otherwise: T): T {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof Database.SqliteError)) throw error;
      if (isBusy(error)) return otherwise;
      this.#db.close();
      this.#db = isDamage(error) ? this.#rebuild() : this.#inMemory(error);
      return otherwise;
    }
  }

  #openOrRebuild(): Database.Database {
    try {
      return open(this.#path);
    } catch (error) {
      return isDamage(error) ? this.#rebuild() : this.#inMemory(error);
    }
  }

  #rebuild(): Database.Database {
    try {
      for (const suffix of ['', '-wal', '-shm']) rmSync(this.#path + suffix, { force: true });
      return open(this.#path);
    } catch (error) {
      return this.#inMemory(error);
    }
  }

  #inMemory(error: unknown): Database.Database {
    const why = error instanceof Error ? error.message : String(error);
    this.problem = `What was read is not kept: ${why}`;
    return open(':memory:');
  }
}

class OtherVersion extends Error {}

function open(file: string): Database.Database {
  if (file !== ':memory:') mkdirSync(path.dirname(file), { recursive: true });
  const db = new Database(file, { timeout: 2000 });
  try {
    db.pragma('journal_mode = WAL');
    // After a crash of the machine it may be behind, or damaged and thrown away.
    db.pragma('synchronous = OFF');
    db.transaction(() => {
      const version = db.pragma('user_version', { simple: true });
      if (version === 0) db.exec(schema);
      else if (version !== schemaVersion) throw new OtherVersion(`It has version ${version}.`);
    }).immediate();
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

function isDamage(error: unknown): boolean {
  if (error instanceof OtherVersion) return true;
  // A file with other tables in it, too, is none of ours.
  return error instanceof Database.SqliteError && /^SQLITE_(CORRUPT|NOTADB|ERROR)/.test(error.code);
}

function isBusy(error: { code: string }): boolean {
  return /^SQLITE_(BUSY|LOCKED)/.test(error.code);
}
