/** Records in a database, which several machines share: the same texts as in a folder, by the name of their repository. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { refuse } from '../../arguments.js';
import { StompError } from '../../errors.js';
import { type Migration, rows, type Storage, type Work } from '../../storage/storage.js';
import { wallClock } from '../../storage/wall-clock.js';
import { isLine } from '../symbols/given-address.js';
import type { Amendment, Intent, Reservation } from '../types.js';
import { maxNameLength } from './fields.js';
import { idOf, kindOfAmendment, type RecordKind, recordKinds, type StoredRecord } from './records.js';
import type { RecordStore, Records } from './store.js';
import { patiently } from './store-lock.js';
import { endedRecords, type RecordKey, RecordList, textToWrite } from './stored.js';

/** Which database, and for which repository. */
export interface SqlStoreOptions {
  readonly storage: Storage;
  /** The same for all clones that work together. */
  readonly repository: string;
  /** For whoever is alone with the store. @default 30000 */
  readonly patienceMs?: number;
  /** Whoever is alone for longer is no more. @default 30000 */
  readonly aloneMs?: number;
  /** How often to look for changes that nobody has told of, or while it was not yet listened. @default 500 */
  readonly pollMs?: number;
  /** Closes `storage` with the store. @default false */
  readonly ownsStorage?: boolean;
}

// archived: 0 or 1. One row of reservation_locks for each repository where somebody is alone, or was.
function tables(name: string, integer: string): string[] {
  return [
    `CREATE TABLE reservation_records (
       repository ${name} NOT NULL, kind ${name} NOT NULL, id ${name} NOT NULL, body TEXT NOT NULL,
       archived ${integer} NOT NULL, PRIMARY KEY (repository, archived, kind, id)
     )`,
    `CREATE TABLE reservation_locks (repository ${name} PRIMARY KEY, owner ${name} NOT NULL, until_ms ${integer} NOT NULL)`,
  ];
}

const migrations: readonly Migration[] = [
  {
    name: 'reservations-1',
    sqlite: tables('TEXT', 'INTEGER'),
    postgres: tables('TEXT COLLATE "C"', 'bigint'),
  },
];

export class SqlRecordStore implements RecordStore {
  readonly #storage: Storage;
  readonly #options: Required<SqlStoreOptions>;
  readonly #channel: string;
  /** By which name the work that is running is alone, if it is. */
  readonly #owner = new AsyncLocalStorage<string>();

  private constructor(options: Required<SqlStoreOptions>) {
    this.#storage = options.storage;
    this.#options = options;
    this.#channel = `reservations ${options.repository}`;
  }

  /** @throws StompError DB_BUSY, INVALID_REQUEST */
  static async open(options: SqlStoreOptions): Promise<SqlRecordStore> {
    const { storage, repository } = options;
    if (!isLine(repository, maxNameLength)) {
      refuse('repository', repository, `a name of one line, at most ${maxNameLength} characters`);
    }
    await storage.migrate(migrations);
    return new SqlRecordStore({
      patienceMs: 30_000,
      aloneMs: 30_000,
      pollMs: 500,
      ownsStorage: false,
      ...options,
    });
  }

  async read(): Promise<Records> {
    const { repository } = this.#options;
    const found = await this.#storage.read(() =>
      rows(
        'SELECT kind, id, body FROM reservation_records WHERE repository = ? AND archived = 0',
        repository,
      ),
    );
    const list = new RecordList();
    for (const { kind, id, body } of found) {
      const known = recordKinds.find((one) => one === kind);
      // A later version may keep more kinds here.
      if (!known) list.warn(String(id), `is of the unknown kind ${kind}`);
      else list.add({ kind: known, id: String(id) }, String(body), String(id));
    }
    return list;
  }

  addReservation(record: Reservation): Promise<void> {
    return this.#add({ kind: 'reservations', record });
  }

  addIntent(record: Intent): Promise<void> {
    return this.#add({ kind: 'intents', record });
  }

  addAmendment(record: Amendment): Promise<void> {
    return this.#add({ kind: kindOfAmendment(record), record });
  }

  /**
   * A lock that outlives nobody for long: it runs out by the clock of the database, and nothing that is added within
   * `work` is written once it has.
   */
  async alone<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const owner = randomUUID();
    const { repository, patienceMs } = this.#options;
    const name = `the reservations of ${repository}`;
    await patiently(name, () => this.#storage.write(() => this.#take(owner)), patienceMs, signal);
    try {
      return await this.#owner.run(owner, work);
    } finally {
      await this.#giveBack(owner);
    }
  }

  async archive(endedBefore: Date): Promise<number> {
    const ended = endedRecords(await this.read(), endedBefore);
    if (ended.length > 0) await this.#write(() => this.#moveAside(ended));
    return ended.length;
  }

  async changed(signal?: AbortSignal): Promise<void> {
    const end = new AbortController();
    const until = AbortSignal.any(signal ? [signal, end.signal] : [end.signal]);
    // Where nobody tells, it is looked at now and then.
    const listening = this.#storage.listen(this.#channel, () => end.abort()).catch(() => undefined);
    await sleep(this.#options.pollMs, undefined, { signal: until }).catch(() => undefined);
    const stop = await listening;
    await stop?.();
  }

  async close(): Promise<void> {
    if (this.#options.ownsStorage) await this.#storage.close();
  }

  async #add(stored: StoredRecord): Promise<void> {
    const body = textToWrite(stored);
    await this.#write(() => this.#insert(stored.kind, idOf(stored), body));
  }

  /** @throws StompError DB_BUSY when the work that is running is no longer alone */
  #write(work: () => Work<void>): Promise<void> {
    const owner = this.#owner.getStore();
    const { repository } = this.#options;
    const lock = this.#storage.dialect === 'postgres' ? ' FOR UPDATE' : '';
    const channel = this.#channel;
    const storage = this.#storage;
    return storage.write(function* () {
      if (owner !== undefined) {
        const sql = `SELECT 1 FROM reservation_locks WHERE repository = ? AND owner = ?${lock}`;
        const [held] = yield* rows(sql, repository, owner);
        if (!held) throw overtaken(repository);
      }
      yield* work();
      yield* storage.notify(channel);
    });
  }

  /** The same once more when a commit was not heard of: ids are never used twice. */
  *#insert(kind: RecordKind, id: string, body: string): Work<void> {
    const { repository } = this.#options;
    yield* rows(
      `INSERT INTO reservation_records (repository, kind, id, body, archived) VALUES (?, ?, ?, ?, 0)
       ON CONFLICT DO NOTHING`,
      repository,
      kind,
      id,
      body,
    );
    const [row] = yield* rows(
      'SELECT body FROM reservation_records WHERE repository = ? AND archived = 0 AND kind = ? AND id = ?',
      repository,
      kind,
      id,
    );
    if (row?.body !== body) throw existsAlready(id);
  }

  *#moveAside(ended: readonly RecordKey[]): Work<void> {
    for (const { kind, id } of ended) {
      yield* rows(
        'UPDATE reservation_records SET archived = 1 WHERE repository = ? AND archived = 0 AND kind = ? AND id = ?',
        this.#options.repository,
        kind,
        id,
      );
    }
  }

  /** @returns whether it was given; undefined while somebody else has it */
  *#take(owner: string): Work<true | undefined> {
    const { repository, aloneMs } = this.#options;
    const now = wallClock(this.#storage).expression();
    const [row] = yield* rows(
      // One that runs for much longer than any was set by a clock that has been put back since.
      `INSERT INTO reservation_locks (repository, owner, until_ms) VALUES (?, ?, ${now.sql} + ?)
       ON CONFLICT (repository) DO UPDATE SET owner = excluded.owner, until_ms = excluded.until_ms
       WHERE reservation_locks.until_ms <= excluded.until_ms - ? OR reservation_locks.until_ms > excluded.until_ms + ?
         OR reservation_locks.owner = excluded.owner
       RETURNING owner`,
      repository,
      owner,
      ...now.params,
      aloneMs,
      aloneMs,
      aloneMs,
    );
    return row?.owner === owner ? true : undefined;
  }

  async #giveBack(owner: string): Promise<void> {
    const { repository } = this.#options;
    const remove = () =>
      rows('DELETE FROM reservation_locks WHERE repository = ? AND owner = ?', repository, owner);
    // What is written is written; what cannot be given back now runs out.
    await this.#storage.write(remove).catch(() => undefined);
  }
}

function overtaken(repository: string): StompError {
  const message = `It took too long, and others have had their turn with the reservations of ${repository}: nothing was written. Try again.`;
  return new StompError('DB_BUSY', message, { fields: { repository } });
}

function existsAlready(id: string): StompError {
  return new StompError(
    'INTERNAL_ERROR',
    `The record ${id} is there already, and records are never changed.`,
    {
      fields: { id },
    },
  );
}
