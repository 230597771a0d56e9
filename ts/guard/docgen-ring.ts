/** The last docs that were asked for, for every process that uses the database. */
import {
  type Migration,
  type Row,
  rows,
  type SqlValue,
  type Storage,
  type Work,
} from '../storage/storage.js';

/** What came of a request for a document. */
export type DocgenStatus = 'generated' | 'noop' | 'skipped' | 'error';

/** What became of one call; the names are those on the wire. */
export interface DocgenRecord {
  /** The document, as an absolute path. */
  file: string;
  /** What it is made of, as an absolute path. */
  source: string;
  status: DocgenStatus;
  /** Why nothing was generated, for people: of `skipped` and `error`. */
  reason?: string;
  /** Of the source's bytes, lower-case hex; null when it was not read. */
  sha256: string | null;
  agent_id: string;
  session_id: string;
  /** Waiting included. */
  duration_ms: number;
  /** How often a document was made. */
  attempts: number;
  /** Milliseconds since 1970, at the end. */
  timestamp: number;
}

const docgenMigrations: readonly Migration[] = [
  {
    name: 'docgen-1',
    sqlite: [
      `CREATE TABLE stomp_docgen (
         seq INTEGER PRIMARY KEY AUTOINCREMENT, file TEXT NOT NULL, source TEXT NOT NULL, status TEXT NOT NULL,
         reason TEXT, sha256 TEXT, agent_id TEXT NOT NULL, session_id TEXT NOT NULL, duration_ms REAL NOT NULL,
         attempts INTEGER NOT NULL, ended_at REAL NOT NULL
       ) STRICT`,
    ],
    postgres: [
      `CREATE TABLE stomp_docgen (
         seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, file text NOT NULL, source text NOT NULL,
         status text NOT NULL, reason text, sha256 text, agent_id text NOT NULL, session_id text NOT NULL,
         duration_ms float8 NOT NULL, attempts integer NOT NULL, ended_at float8 NOT NULL
       )`,
    ],
  },
];

const columns =
  'file, source, status, reason, sha256, agent_id, session_id, duration_ms, attempts, ended_at' as const;

export class DocgenRing {
  readonly #storage: Storage;
  readonly #capacity: number;

  private constructor(storage: Storage, capacity: number) {
    this.#storage = storage;
    this.#capacity = capacity;
  }

  /** @throws StompError DB_BUSY */
  static async open(storage: Storage, capacity: number): Promise<DocgenRing> {
    await storage.migrate(docgenMigrations);
    return new DocgenRing(storage, capacity);
  }

  /**
   * Where several processes keep rings of different capacities, the smallest holds.
   * @throws StompError DB_BUSY
   */
  add(record: DocgenRecord): Promise<void> {
    return this.#storage.write(() => added(record, this.#capacity));
  }

  /**
   * Newest last.
   * @throws StompError DB_BUSY
   */
  async last(): Promise<DocgenRecord[]> {
    const found = await this.#storage.read(() =>
      rows(`SELECT ${columns} FROM stomp_docgen ORDER BY seq DESC LIMIT ?`, this.#capacity),
    );
    return found.map(recordOf).reverse();
  }
}

function* added(record: DocgenRecord, capacity: number): Work<void> {
  const values: SqlValue[] = [
    record.file,
    record.source,
    record.status,
    record.reason ?? null,
    record.sha256,
    record.agent_id,
    record.session_id,
    record.duration_ms,
    record.attempts,
    record.timestamp,
  ];
  yield* rows(`INSERT INTO stomp_docgen (${columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, ...values);
  yield* rows(
    'DELETE FROM stomp_docgen WHERE seq <= (SELECT seq FROM stomp_docgen ORDER BY seq DESC LIMIT 1 OFFSET ?)',
    capacity,
  );
}

function recordOf(row: Row): DocgenRecord {
  return {
    file: String(row.file),
    source: String(row.source),
    status: row.status as DocgenStatus,
    ...(row.reason === null ? {} : { reason: String(row.reason) }),
    sha256: row.sha256 === null ? null : String(row.sha256),
    agent_id: String(row.agent_id),
    session_id: String(row.session_id),
    duration_ms: Number(row.duration_ms),
    attempts: Number(row.attempts),
    timestamp: Number(row.ended_at),
  };
}
