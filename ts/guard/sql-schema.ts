/** The tables of the lock table, and beside it of what the resources have accepted. Keys compare by their bytes, in either database. */
import type { Migration } from '../storage/storage.js';

export const lockMigrations: readonly Migration[] = [
  {
    name: 'locks-1',
    sqlite: [
      `CREATE TABLE stomp_lock_counters (
         id INTEGER PRIMARY KEY CHECK (id = 1), token INTEGER NOT NULL, ticket INTEGER NOT NULL, seen_at REAL NOT NULL
       ) STRICT`,
      'INSERT INTO stomp_lock_counters (id, token, ticket, seen_at) VALUES (1, 0, 0, 0)',
      `CREATE TABLE stomp_locks (
         key TEXT NOT NULL, agent_id TEXT NOT NULL, session_id TEXT NOT NULL, token INTEGER NOT NULL,
         mode TEXT NOT NULL, holds INTEGER NOT NULL, last_change TEXT NOT NULL, acquired_at REAL NOT NULL, expires_at REAL NOT NULL,
         PRIMARY KEY (key, agent_id, session_id)
       ) STRICT, WITHOUT ROWID`,
      'CREATE INDEX stomp_locks_expiry ON stomp_locks (expires_at)',
      `CREATE TABLE stomp_lock_processes (
         id TEXT PRIMARY KEY, alive_until REAL NOT NULL
       ) STRICT, WITHOUT ROWID`,
      `CREATE TABLE stomp_lock_waiters (
         ticket INTEGER PRIMARY KEY, agent_id TEXT NOT NULL, session_id TEXT NOT NULL,
         request TEXT NOT NULL UNIQUE, process TEXT NOT NULL REFERENCES stomp_lock_processes (id) ON DELETE CASCADE
       ) STRICT`,
      'CREATE INDEX stomp_lock_waiters_owner ON stomp_lock_waiters (agent_id, session_id)',
      'CREATE INDEX stomp_lock_waiters_process ON stomp_lock_waiters (process)',
      `CREATE TABLE stomp_lock_waiter_keys (
         key TEXT NOT NULL, ticket INTEGER NOT NULL REFERENCES stomp_lock_waiters (ticket) ON DELETE CASCADE,
         mode TEXT NOT NULL, PRIMARY KEY (key, ticket)
       ) STRICT, WITHOUT ROWID`,
      'CREATE INDEX stomp_lock_waiter_keys_ticket ON stomp_lock_waiter_keys (ticket)',
      'CREATE TABLE stomp_lock_fences (key TEXT PRIMARY KEY, token INTEGER NOT NULL) STRICT, WITHOUT ROWID',
      `CREATE TABLE stomp_staged (
         path TEXT NOT NULL, key TEXT NOT NULL, token INTEGER NOT NULL, PRIMARY KEY (path, token)
       ) STRICT, WITHOUT ROWID`,
      'CREATE INDEX stomp_staged_key ON stomp_staged (key)',
      'CREATE INDEX stomp_staged_token ON stomp_staged (token)',
    ],
    postgres: [
      `CREATE TABLE stomp_lock_counters (
         id integer PRIMARY KEY CHECK (id = 1), token bigint NOT NULL, ticket bigint NOT NULL, seen_at float8 NOT NULL
       )`,
      'INSERT INTO stomp_lock_counters (id, token, ticket, seen_at) VALUES (1, 0, 0, 0)',
      `CREATE TABLE stomp_locks (
         key text COLLATE "C" NOT NULL, agent_id text NOT NULL, session_id text NOT NULL, token bigint NOT NULL,
         mode text NOT NULL, holds bigint NOT NULL, last_change text NOT NULL, acquired_at float8 NOT NULL, expires_at float8 NOT NULL,
         PRIMARY KEY (key, agent_id, session_id)
       )`,
      'CREATE INDEX stomp_locks_expiry ON stomp_locks (expires_at)',
      'CREATE TABLE stomp_lock_processes (id text PRIMARY KEY, alive_until float8 NOT NULL)',
      `CREATE TABLE stomp_lock_waiters (
         ticket bigint PRIMARY KEY, agent_id text NOT NULL, session_id text NOT NULL,
         request text NOT NULL UNIQUE, process text NOT NULL REFERENCES stomp_lock_processes ON DELETE CASCADE
       )`,
      'CREATE INDEX stomp_lock_waiters_owner ON stomp_lock_waiters (agent_id, session_id)',
      'CREATE INDEX stomp_lock_waiters_process ON stomp_lock_waiters (process)',
      `CREATE TABLE stomp_lock_waiter_keys (
         key text COLLATE "C" NOT NULL, ticket bigint NOT NULL REFERENCES stomp_lock_waiters ON DELETE CASCADE,
         mode text NOT NULL, PRIMARY KEY (key, ticket)
       )`,
      'CREATE INDEX stomp_lock_waiter_keys_ticket ON stomp_lock_waiter_keys (ticket)',
      'CREATE TABLE stomp_lock_fences (key text COLLATE "C" PRIMARY KEY, token bigint NOT NULL)',
      `CREATE TABLE stomp_staged (
         path text NOT NULL, key text COLLATE "C" NOT NULL, token bigint NOT NULL, PRIMARY KEY (path, token)
       )`,
      'CREATE INDEX stomp_staged_key ON stomp_staged (key)',
      'CREATE INDEX stomp_staged_token ON stomp_staged (token)',
    ],
  },
];
