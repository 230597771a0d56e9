/**
 * What makes queries of the progress log fast, derived from `entries` and kept by `insertEntries`: indexes, the message
 * without case and an index of its trigrams, counts by time, and terms.
 */
import type { Migration } from '../storage/storage.js';

/** @param more keeps further columns in an index, so that conditions on them need no look at the row */
function indexes(more: (columns: string) => string): string[] {
  const index = (name: string, columns: string, also?: string) =>
    `CREATE INDEX entries_${name} ON entries ${also ? more(`${columns}+${also}`) : `(${columns})`}`;
  return [
    index('ts', 'project, ts, line'),
    index('kind', 'project, status, priority, emoji, ts, line', 'agent, category'),
    index('agent', 'project, agent, ts, line', 'status, priority, emoji, category'),
    index('category', 'project, category, ts, line', 'status, priority, emoji, agent'),
  ];
}

/** @param name of texts that are compared with those of `entries`: by their bytes, or no index would serve both */
function tables(name: string, integer: string, end: string): string[] {
  return [
    "ALTER TABLE entries ADD COLUMN folded TEXT NOT NULL DEFAULT ''",
    // How many entries of one facet (query-derived.ts) and kind there are in the bucket of time that begins then.
    `CREATE TABLE entry_counts (
       project ${name} NOT NULL, facet ${name} NOT NULL, bucket ${integer} NOT NULL, status TEXT NOT NULL,
       priority TEXT NOT NULL, emoji TEXT NOT NULL, n ${integer} NOT NULL,
       PRIMARY KEY (project, facet, bucket, status, priority, emoji)
     )${end}`,
    // Tags, meta and whole messages of entries.
    `CREATE TABLE entry_terms (
       project ${name} NOT NULL, term ${name} NOT NULL, ts ${integer} NOT NULL, line ${integer} NOT NULL,
       PRIMARY KEY (project, term, ts, line)
     )${end}`,
  ];
}

const sqliteTrigrams = [
  `CREATE VIRTUAL TABLE entry_text USING fts5(
     folded, content = 'entries', content_rowid = 'seq', columnsize = 0, tokenize = 'trigram case_sensitive 1'
   )`,
  `CREATE TRIGGER entry_text_insert AFTER INSERT ON entries BEGIN
     INSERT INTO entry_text (rowid, folded) VALUES (new.seq, new.folded);
   END`,
  `CREATE TRIGGER entry_text_delete AFTER DELETE ON entries BEGIN
     INSERT INTO entry_text (entry_text, rowid, folded) VALUES ('delete', old.seq, old.folded);
   END`,
];

// The extension may be missing, or not be ours to create: then there is no such index. It is kept out of our schema
// where that is allowed, because others may come to use it.
export const postgresTrigrams = `DO $$
   DECLARE home text;
   BEGIN
     BEGIN
       IF (SELECT has_schema_privilege(oid, 'CREATE') FROM pg_namespace WHERE nspname = 'public') THEN
         CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA public;
       ELSE CREATE EXTENSION IF NOT EXISTS pg_trgm;
       END IF;
     EXCEPTION WHEN insufficient_privilege OR undefined_file OR feature_not_supported OR unique_violation
       OR duplicate_object OR duplicate_function THEN
       RAISE NOTICE 'pg_trgm is not to be had: %', SQLERRM;
     END;
     SELECT nspname INTO home FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace WHERE extname = 'pg_trgm';
     IF home IS NOT NULL THEN
       EXECUTE format('CREATE INDEX IF NOT EXISTS entries_folded ON entries USING gin (folded %I.gin_trgm_ops)', home);
     END IF;
   END $$`;

/** A part of `contextMigrations`. */
export const queryMigrations: readonly Migration[] = [
  {
    name: 'context-query-1',
    sqlite: [
      ...tables('TEXT', 'INTEGER', ' WITHOUT ROWID'),
      ...indexes((columns) => `(${columns.replace('+', ', ')})`),
      ...sqliteTrigrams,
    ],
    postgres: [
      // Counts are updated in place while there is room on their page.
      ...tables('TEXT COLLATE "C"', 'bigint', ''),
      'ALTER TABLE entry_counts SET (fillfactor = 70)',
      ...indexes((columns) => `(${columns.replace('+', ') INCLUDE (')})`),
      postgresTrigrams,
    ],
  },
];
