/**
 * The highest token that each resource has accepted, for resources that cannot keep it themselves. A lower one is
 * refused: its holder has been asleep, and others have been at the resource since.
 */
import { type Row, rows, type Storage, type Work } from '../storage/storage.js';
import { FencedError } from './errors.js';
import type { LockTable } from './lock-table.js';
import { around } from './sql-keys.js';
import { lockMigrations } from './sql-schema.js';

/** Fencing tokens by lock key. */
export type Tokens = ReadonlyMap<string, bigint>;

/** The highest tokens that resources have accepted, kept where the locks are. */
export class Fences {
  readonly #storage: Storage;
  readonly #table: LockTable;

  private constructor(storage: Storage, table: LockTable) {
    this.#storage = storage;
    this.#table = table;
  }

  static async open(storage: Storage, table: LockTable): Promise<Fences> {
    await storage.migrate(lockMigrations);
    return new Fences(storage, table);
  }

  /**
   * Accepts the tokens, or refuses all of them. What they guard may be changed right after, by way of a staged file.
   * @param staged its path: it is removed before anybody else gets one of the keys
   * @throws FencedError
   */
  accept(tokens: Tokens, staged?: string): Promise<void> {
    return this.#storage.write(() => this.acceptWithin(tokens, staged));
  }

  /** The same within a transaction of the storage, which also changes what they guard. */
  *acceptWithin(tokens: Tokens, staged?: string): Work<void> {
    const live = yield* this.#table.live(tokens);
    for (const [key, token] of tokens) {
      const highest = yield* highestAround(key);
      if (!live || highest > token) throw fencedError(key, token, highest);
      yield* rows(
        'INSERT INTO stomp_lock_fences (key, token) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET token = excluded.token',
        key,
        token,
      );
    }
    // Locks of one process pass on only while it runs; nobody would take the note back.
    if (staged === undefined || !this.#table.durable) return;
    // Under each key: whoever takes over what lies in a folder does not ask for the folder's own name.
    for (const [key, token] of tokens) {
      yield* rows(
        'INSERT INTO stomp_staged (path, key, token) VALUES (?, ?, ?) ON CONFLICT (path, token) DO NOTHING',
        staged,
        key,
        token,
      );
    }
  }
}

/** The highest token that anything in this storage has given or accepted; 0 for none. */
export function highestToken(storage: Storage): Promise<bigint> {
  return storage.read(function* () {
    const found = yield* rows(
      `SELECT max(token) AS token FROM
         (SELECT token FROM stomp_lock_fences UNION ALL SELECT token FROM stomp_lock_counters) AS tokens`,
    );
    return tokenOf(found[0]);
  });
}

function* highestAround(key: string): Work<bigint> {
  const { where, params } = around([key]);
  const fences = yield* rows(`SELECT max(token) AS token FROM stomp_lock_fences WHERE ${where}`, ...params);
  return tokenOf(fences[0]);
}

const tokenOf = (row: Row | undefined) => BigInt(row?.token ?? 0);

/** @param highest what was accepted, as far as it is known. */
export function fencedError(key: string, token: bigint, highest: bigint): FencedError {
  const ended = highest > token ? `${key} has accepted token ${highest} since` : `its lease has ended`;
  return new FencedError(
    `The change of ${key} under token ${token} was refused: ${ended}. Read it again, acquire it anew, and repeat the change.`,
    { fields: { resource_key: key, token: token.toString(), highest_token: highest.toString() } },
  );
}
