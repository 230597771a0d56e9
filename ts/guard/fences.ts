/**
 * The highest token that each resource has accepted, for resources that cannot keep it themselves. A lower one is
 * refused: its holder has been asleep, and others have been at the resource since.
 */
import { type Row, rows, type Storage, type Work } from '../storage/storage.js';
import { FencedError } from './errors.js';
import type { LockTable } from './lock-table.js';
import { around } from './sql-keys.js';
import { lockMigrations } from './sql-schema.js';

export type Tokens = ReadonlyMap<string, bigint>;

/** A file that will take the place of another: it is removed before anybody else gets the key. */
export interface StagedFile {
  readonly path: string;
  readonly key: string;
}

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
   * Accepts the tokens, or refuses all of them. What they guard may be changed right after, by way of the staged file.
   * @throws FencedError
   */
  accept(tokens: Tokens, staged?: StagedFile): Promise<void> {
    return this.#storage.write(() => this.acceptWithin(tokens, staged));
  }

  /** The same within a transaction of the storage, which also changes what they guard. */
  *acceptWithin(tokens: Tokens, staged?: StagedFile): Work<void> {
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
    if (!staged) return;
    yield* rows(
      'INSERT INTO stomp_staged (path, key, token) VALUES (?, ?, ?) ON CONFLICT (path) DO NOTHING',
      staged.path,
      staged.key,
      tokens.get(staged.key) ?? 0n,
    );
  }

  /** @throws FencedError when one of them is lower than what was accepted, whether or not it is still held. */
  async check(tokens: Tokens): Promise<void> {
    const highest = await this.#storage.read(function* () {
      const found: [string, bigint, bigint][] = [];
      for (const [key, token] of tokens) found.push([key, token, yield* highestAround(key)]);
      return found;
    });
    for (const [key, token, seen] of highest) if (seen > token) throw fencedError(key, token, seen);
  }
}

/** The highest token anything in this storage has accepted; 0 for none. */
export function highestToken(storage: Storage): Promise<bigint> {
  return storage.read(function* () {
    const found = yield* rows('SELECT max(token) AS token FROM stomp_lock_fences');
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
