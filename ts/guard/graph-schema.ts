/**
 * The tables of the knowledge graphs. Ids and names may be longer than an index takes, so rows go by SHA-256 of what
 * they stand for, and hold it in clear too.
 */
import type { Migration } from '../storage/storage.js';

export const graphMigrations: readonly Migration[] = [
  {
    name: 'graph-1',
    sqlite: [
      'CREATE TABLE stomp_graphs (id TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT, WITHOUT ROWID',
      `CREATE TABLE stomp_graph_writes (
         graph_id TEXT NOT NULL, id TEXT NOT NULL, element TEXT NOT NULL, path TEXT NOT NULL, value TEXT,
         written_at REAL NOT NULL, written_by TEXT NOT NULL, version INTEGER NOT NULL,
         PRIMARY KEY (graph_id, id)
       ) STRICT`,
      'CREATE INDEX stomp_graph_writes_element ON stomp_graph_writes (graph_id, element)',
      `CREATE TABLE stomp_graph_ends (
         graph_id TEXT NOT NULL, node TEXT NOT NULL, edge TEXT NOT NULL, PRIMARY KEY (graph_id, node, edge)
       ) STRICT, WITHOUT ROWID`,
      'CREATE INDEX stomp_graph_ends_edge ON stomp_graph_ends (graph_id, edge)',
      `CREATE TABLE stomp_graph_pending (
         graph_id TEXT NOT NULL, id TEXT NOT NULL, patch TEXT NOT NULL, PRIMARY KEY (graph_id, id)
       ) STRICT`,
    ],
    postgres: [
      'CREATE TABLE stomp_graphs (id text COLLATE "C" PRIMARY KEY, version bigint NOT NULL)',
      `CREATE TABLE stomp_graph_writes (
         graph_id text COLLATE "C" NOT NULL, id text COLLATE "C" NOT NULL, element text COLLATE "C" NOT NULL,
         path text NOT NULL, value text, written_at float8 NOT NULL, written_by text NOT NULL,
         version bigint NOT NULL, PRIMARY KEY (graph_id, id)
       )`,
      'CREATE INDEX stomp_graph_writes_element ON stomp_graph_writes (graph_id, element)',
      `CREATE TABLE stomp_graph_ends (
         graph_id text COLLATE "C" NOT NULL, node text COLLATE "C" NOT NULL, edge text COLLATE "C" NOT NULL,
         PRIMARY KEY (graph_id, node, edge)
       )`,
      'CREATE INDEX stomp_graph_ends_edge ON stomp_graph_ends (graph_id, edge)',
      `CREATE TABLE stomp_graph_pending (
         graph_id text COLLATE "C" NOT NULL, id text COLLATE "C" NOT NULL, patch text NOT NULL,
         PRIMARY KEY (graph_id, id)
       )`,
    ],
  },
];
