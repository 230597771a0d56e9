/**
 * The tables of sessions, current projects and the progress log. Times are milliseconds since 1970; what is written as
 * JSON is text on both databases, so that it comes back as it was given.
 */
import type { Migration } from '../storage/storage.js';
import { mirrorMigrations } from './mirror.js';
import { queryMigrations } from './query-schema.js';

const eventTypes =
  "'project_set','project_switched','project_cleared','session_started','session_ended','session_expired','conflict_detected'";

/** @param name of texts that are compared and sorted: by their bytes, in whatever language the database was set up */
function tables(identity: string, name: string, integer: string, float: string): string[] {
  return [
    `CREATE TABLE projects (
       name ${name} PRIMARY KEY, root TEXT NOT NULL, progress_log_path ${name} NOT NULL UNIQUE, description TEXT NOT NULL,
       tags TEXT NOT NULL, meta TEXT NOT NULL, created_at ${integer} NOT NULL, updated_at ${integer} NOT NULL
     )`,
    // One row to lock for each agent: its sessions and its current project change one at a time.
    `CREATE TABLE context_agents (agent_id ${name} PRIMARY KEY)`,
    `CREATE TABLE agent_sessions (
       id ${name} PRIMARY KEY, agent_id ${name} NOT NULL, started_at ${integer} NOT NULL, last_active_at ${integer} NOT NULL,
       expires_at ${integer} NOT NULL, status TEXT NOT NULL CHECK (status IN ('active', 'expired')), reason TEXT,
       metadata TEXT NOT NULL
     )`,
    'CREATE INDEX agent_sessions_agent ON agent_sessions (agent_id, started_at)',
    "CREATE INDEX agent_sessions_active ON agent_sessions (expires_at) WHERE status = 'active'",
    // One sitting of an agent at a time, also when two processes start one at once.
    "CREATE UNIQUE INDEX agent_sessions_one ON agent_sessions (agent_id) WHERE status = 'active'",
    // change_id: of the call that has made the last change, which may be run twice.
    `CREATE TABLE agent_projects (
       agent_id ${name} PRIMARY KEY, project_name ${name} REFERENCES projects (name) ON DELETE SET NULL,
       version ${integer} NOT NULL, updated_at ${integer} NOT NULL, updated_by TEXT NOT NULL, session_id TEXT NOT NULL,
       change_id TEXT NOT NULL
     )`,
    'CREATE INDEX agent_projects_updated_at ON agent_projects (updated_at DESC)',
    'CREATE INDEX agent_projects_project ON agent_projects (project_name)',
    `CREATE TABLE agent_project_events (
       id ${identity}, agent_id ${name} NOT NULL, session_id TEXT,
       event_type TEXT NOT NULL CHECK (event_type IN (${eventTypes})), from_project TEXT, to_project TEXT,
       expected_version ${integer}, actual_version ${integer}, success ${integer} NOT NULL, error_message TEXT,
       metadata TEXT NOT NULL, created_at ${integer} NOT NULL
     )`,
    'CREATE INDEX agent_project_events_agent ON agent_project_events (agent_id, id)',
    "CREATE INDEX agent_project_events_starts ON agent_project_events (agent_id, created_at) WHERE event_type = 'session_started'",
    // line: the number of the entry in its project, from 1, without gaps. sha256: of that of the line before it and its
    // own line in the file. Entries outlive their project's row.
    `CREATE TABLE entries (
       seq ${identity}, id ${name} NOT NULL UNIQUE, project ${name} NOT NULL, line ${integer} NOT NULL, ts ${integer} NOT NULL,
       agent ${name} NOT NULL, session_id TEXT, status TEXT NOT NULL, emoji TEXT NOT NULL, priority TEXT NOT NULL,
       category TEXT, tags TEXT NOT NULL, confidence ${float}, message TEXT NOT NULL, meta TEXT NOT NULL,
       token ${integer} NOT NULL, sha256 TEXT NOT NULL, UNIQUE (project, line)
     )`,
    // entries: also the number of the last line. head: its sha256.
    `CREATE TABLE metrics (
       project ${name} PRIMARY KEY, entries ${integer} NOT NULL, info ${integer} NOT NULL, success ${integer} NOT NULL,
       warn ${integer} NOT NULL, error ${integer} NOT NULL, bug ${integer} NOT NULL, plan ${integer} NOT NULL,
       last_entry_at ${integer}, head TEXT NOT NULL
     )`,
    // What the file is known to hold. Lines after written_line are still to be written, or their writer was cut off.
    `CREATE TABLE progress_logs (
       project ${name} PRIMARY KEY, number ${integer} NOT NULL, bytes ${integer} NOT NULL, first_line ${integer} NOT NULL,
       written_line ${integer} NOT NULL
     )`,
    // Files that are full and closed. sha256: of all their bytes.
    `CREATE TABLE progress_log_archives (
       project ${name} NOT NULL, number ${integer} NOT NULL, path TEXT NOT NULL, bytes ${integer} NOT NULL,
       first_line ${integer} NOT NULL, last_line ${integer} NOT NULL, sha256 TEXT NOT NULL, closed_at ${integer} NOT NULL,
       PRIMARY KEY (project, number)
     )`,
  ];
}

/** What `Storage.migrate` is given. */
export const contextMigrations: readonly Migration[] = [
  {
    name: 'context-1',
    sqlite: tables('INTEGER PRIMARY KEY AUTOINCREMENT', 'TEXT', 'INTEGER', 'REAL'),
    postgres: tables(
      'bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY',
      'TEXT COLLATE "C"',
      'bigint',
      'float8',
    ),
  },
  ...queryMigrations,
  ...mirrorMigrations,
];
