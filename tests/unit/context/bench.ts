/** A database with the tables of context, and rows as the manager writes them. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import pg from 'pg';
import { contextMigrations } from '../../../ts/context/schema.js';
import { PostgresStorage } from '../../../ts/storage/postgres.js';
import { SqliteStorage } from '../../../ts/storage/sqlite.js';
import { type Row, rows, type SqlValue, type Storage, type Work } from '../../../ts/storage/storage.js';

export interface Bench {
  /** For files. */
  readonly folder: string;
  /** One more connection to the same database. */
  open(): Promise<Storage>;
  /** Changes it behind the back of its own rules. */
  damage(...statements: string[]): Promise<void>;
  close(): Promise<void>;
}

type Damage = (folder: string, statements: readonly string[]) => Promise<void>;

const bench = (make: (folder: string) => Storage, damage: Damage): Bench => {
  const folder = mkdtempSync(join(tmpdir(), 'stomp-context-'));
  const storages: Storage[] = [];
  return {
    folder,
    open: async () => {
      const storage = make(folder);
      storages.push(storage);
      await storage.migrate(contextMigrations);
      return storage;
    },
    damage: (...statements) => damage(folder, statements),
    close: async () => {
      for (const storage of storages) await storage.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
};

export const sqliteBench = (): Bench =>
  bench(
    (folder) => new SqliteStorage({ path: join(folder, 'stomp.db') }),
    async (folder, statements) => {
      const db = new Database(join(folder, 'stomp.db'));
      db.unsafeMode();
      db.pragma('foreign_keys = OFF');
      db.pragma('writable_schema = ON');
      for (const sql of statements) db.exec(sql);
      db.close();
    },
  );

let schemas = 0;

export const postgresBench = (url: string, name: string): Bench => {
  const schema = `${name}_${++schemas}`;
  return bench(
    () => new PostgresStorage({ url, schema }),
    async (_folder, statements) => {
      const client = new pg.Client({ connectionString: url });
      await client.connect();
      await client.query(`SET search_path TO ${schema}; SET session_replication_role = replica`);
      for (const sql of statements) await client.query(sql);
      await client.end();
    },
  );
};

export const all = (storage: Storage, sql: string, ...params: SqlValue[]): Promise<readonly Row[]> =>
  storage.read(() => rows(sql, ...params));

export const run = async (storage: Storage, sql: string, ...params: SqlValue[]): Promise<void> => {
  await storage.write(() => rows(sql, ...params));
};

export const addProject = (storage: Storage, name: string): Promise<void> =>
  run(
    storage,
    `INSERT INTO projects (name, root, progress_log_path, description, tags, meta, created_at, updated_at)
     VALUES (?, '/tmp', ?, '', '[]', '{}', 1, 1)`,
    name,
    `/tmp/${name}/PROGRESS_LOG.md`,
  );

export interface SessionRow {
  agent?: string;
  status?: 'active' | 'expired';
  startedAt?: number;
  expiresAt?: number;
}

export const addSession = (storage: Storage, id: string, options: SessionRow = {}): Promise<void> => {
  const { agent = 'A', status = 'expired', startedAt = 1, expiresAt = 1 } = options;
  return run(
    storage,
    `INSERT INTO agent_sessions (id, agent_id, started_at, last_active_at, expires_at, status, reason, metadata)
     VALUES (?, ?, ?, ?, ?, ?, ?, '{}')`,
    id,
    agent,
    startedAt,
    startedAt,
    expiresAt,
    status,
    status === 'active' ? null : 'ended',
  );
};

/** One more version of an agent, with its event; the session is not asked for. */
export function* turnTo(agent: string, project: string | null, at = 1): Work<void> {
  const found = yield* rows(
    `INSERT INTO agent_projects (agent_id, project_name, version, updated_at, updated_by, session_id, change_id)
     VALUES (?, ?, 1, ?, ?, 's', 'c') ON CONFLICT (agent_id) DO UPDATE
     SET project_name = excluded.project_name, version = agent_projects.version + 1, updated_at = excluded.updated_at
     RETURNING version`,
    agent,
    project,
    at,
    agent,
  );
  yield* rows(
    `INSERT INTO agent_project_events (agent_id, session_id, event_type, from_project, to_project, expected_version,
       actual_version, success, error_message, metadata, created_at)
     VALUES (?, 's', ?, NULL, ?, NULL, ?, 1, NULL, '{}', ?)`,
    agent,
    project === null ? 'project_cleared' : 'project_set',
    project,
    found[0]?.version ?? 0n,
    at,
  );
}

export const setProject = (
  storage: Storage,
  agent: string,
  project: string | null,
  at?: number,
): Promise<void> => storage.write(() => turnTo(agent, project, at));
