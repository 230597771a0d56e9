/** The tables of the clutch. Times are milliseconds since 1970; what is written as JSON is text on both databases. */
import type { Migration } from '../../storage/storage.js';

/** @param name of texts that are compared and sorted by their bytes, in whatever language the database was set up */
function tables(name: string, integer: string): string[] {
  return [
    // owner: the process that works on it, until owner_until; epoch: how often a process has taken it over.
    `CREATE TABLE clutch_runs (
       id ${name} PRIMARY KEY, agent_id ${name} NOT NULL, session_id ${name} NOT NULL, parent_id ${name},
       track_id ${name}, ticket_id ${name}, status TEXT NOT NULL, request TEXT NOT NULL, state TEXT NOT NULL,
       error TEXT, owner ${name}, owner_until ${integer} NOT NULL, epoch ${integer} NOT NULL,
       created_at ${integer} NOT NULL, updated_at ${integer} NOT NULL, ended_at ${integer}
     )`,
    'CREATE INDEX clutch_runs_created ON clutch_runs (created_at)',
    'CREATE INDEX clutch_runs_parent ON clutch_runs (parent_id)',
    'CREATE INDEX clutch_runs_open ON clutch_runs (owner_until) WHERE ended_at IS NULL',
    // What the model was told and what it said, in order, without gaps from 1.
    `CREATE TABLE clutch_messages (
       run_id ${name} NOT NULL, n ${integer} NOT NULL, body TEXT NOT NULL, created_at ${integer} NOT NULL,
       PRIMARY KEY (run_id, n)
     )`,
    // Files that the model was given: their text as it was then, and how they were at the last look.
    `CREATE TABLE clutch_files (
       run_id ${name} NOT NULL, position ${integer} NOT NULL, path TEXT NOT NULL, given TEXT NOT NULL,
       latest TEXT NOT NULL, stamp TEXT NOT NULL, PRIMARY KEY (run_id, position)
     )`,
    // One row for each call of a tool: written before it is carried out, so that nothing is done twice unnoticed.
    `CREATE TABLE clutch_effects (
       run_id ${name} NOT NULL, n ${integer} NOT NULL, position ${integer} NOT NULL, tool ${name} NOT NULL,
       kind TEXT NOT NULL, payload TEXT NOT NULL, gate_id ${name},
       state TEXT NOT NULL CHECK (state IN ('proposed', 'started', 'ended')), outcome TEXT,
       started_at ${integer}, ended_at ${integer}, PRIMARY KEY (run_id, n, position)
     )`,
    `CREATE TABLE clutch_gates (
       id ${name} PRIMARY KEY, run_id ${name} NOT NULL, ticket_id ${name}, kind TEXT NOT NULL, tool ${name},
       status TEXT NOT NULL CHECK (status IN ('pending', 'approved', 'edited', 'rejected', 'expired', 'aborted')),
       revision ${integer} NOT NULL, proposed TEXT NOT NULL, payload TEXT NOT NULL, preview TEXT NOT NULL,
       digest TEXT NOT NULL, requester ${name} NOT NULL, created_at ${integer} NOT NULL,
       deadline_at ${integer} NOT NULL, decided_at ${integer}, decided_by TEXT, reason TEXT
     )`,
    'CREATE INDEX clutch_gates_run ON clutch_gates (run_id)',
    'CREATE INDEX clutch_gates_created ON clutch_gates (created_at)',
    "CREATE INDEX clutch_gates_pending ON clutch_gates (deadline_at) WHERE status = 'pending'",
    `CREATE TABLE clutch_rules (
       id ${name} PRIMARY KEY, run_id ${name} NOT NULL, tool ${name} NOT NULL, folder ${name} NOT NULL,
       gate_id ${name} NOT NULL, made_by TEXT NOT NULL, created_at ${integer} NOT NULL
     )`,
    'CREATE INDEX clutch_rules_run ON clutch_rules (run_id)',
    // seq: in the order of commits, without gaps, so that clients can go on from one. Whoever writes an event takes the
    // next number from the one row of clutch_last_event, and has it to itself until the commit.
    `CREATE TABLE clutch_last_event (only_row ${integer} PRIMARY KEY CHECK (only_row = 1), seq ${integer} NOT NULL)`,
    'INSERT INTO clutch_last_event (only_row, seq) VALUES (1, 0)',
    `CREATE TABLE clutch_events (
       seq ${integer} PRIMARY KEY, run_id ${name} NOT NULL, type ${name} NOT NULL, body TEXT NOT NULL, created_at ${integer} NOT NULL
     )`,
    // The last batch of events that each bus has recorded: a commit whose answer was lost is not repeated.
    `CREATE TABLE clutch_batches (
       bus_id ${name} PRIMARY KEY, batch ${integer} NOT NULL, updated_at ${integer} NOT NULL
     )`,
  ];
}

export const clutchMigrations: readonly Migration[] = [
  {
    name: 'clutch-1',
    sqlite: tables('TEXT', 'INTEGER'),
    postgres: tables('TEXT COLLATE "C"', 'bigint'),
  },
];
