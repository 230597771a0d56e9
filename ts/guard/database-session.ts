/** What the database guard asks of a kind of database; SQLite and PostgreSQL promise the same. */

import type Database from 'better-sqlite3';
import type { ClientBase } from 'pg';
import { StompError } from '../errors.js';
import type { Cut } from './cut.js';
import type { Patience } from './patience.js';

/** `write` is alone among those who write by the guard, `read` sees one state and changes nothing. */
export type Access = 'read' | 'write';

/** Of PostgreSQL; SQLite is always serializable. */
export type Isolation = 'read committed' | 'repeatable read' | 'serializable';

export interface SessionRequest {
  readonly access: Access;
  /** Of PostgreSQL, when it writes; SQLite knows only the strictest. */
  readonly isolation: Isolation;
  /** A whole number. A server ends, some time after it, a transaction that stands still. */
  readonly maxDurationMs: number;
  /** For messages. */
  readonly description: string;
  readonly patience: Patience;
  readonly cut: Cut;
  /** What the attempt before failed with; undefined for the first. */
  readonly before: unknown;
}

export interface Answer {
  readonly rows: readonly unknown[];
  /** Rows inserted, changed or removed. */
  readonly changes: number;
}

/** Where an attempt failed: before the operation was called, or later. */
export type Phase = 'begin' | 'work';

/** One transaction, on a connection that nobody else uses until `leave`. */
export interface Session {
  readonly sqlite: Database.Database | undefined;
  readonly postgres: ClientBase | undefined;
  /** The connection is gone, and the transaction with it. */
  readonly broken: boolean;
  /** Of a read, what it sees is of this moment. */
  begin(): Promise<void>;
  /**
   * Accepts the token, for as long as the transaction lasts and, once it is committed, for ever.
   * @returns a higher one that was accepted before, if there is one; the transaction must then be rolled back.
   */
  accept(key: string, token: bigint): Promise<bigint | undefined>;
  run(sql: string, params: readonly unknown[]): Promise<Answer>;
  /** @param readOnly until it is released or rolled back to */
  savepoint(name: string, readOnly: boolean): Promise<void>;
  releaseSavepoint(name: string, readOnly: boolean): Promise<void>;
  rollbackTo(name: string, readOnly: boolean): Promise<void>;
  /** @throws what the database refused with, or why the call was cut; the transaction must then be rolled back. */
  commit(patience: Patience): Promise<void>;
  /**
   * A connection that does not answer is given up, which has the same effect.
   * @throws StompError INVALID_REQUEST when the operation keeps the connection from it
   */
  rollback(work: Work): Promise<void>;
  /** Gives the connection back. */
  leave(work: Work): void;
}

/** What was run in a transaction. It may still be going on, with the connection in its hands: nobody can stop it. */
export interface Work {
  readonly settled: boolean;
  /** Never rejects. */
  readonly done: Promise<void>;
}

export interface GuardedDatabase {
  /** As a resource class is told of it; without credentials. */
  readonly identifier: string;
  /** @throws StompError DB_BUSY, INVALID_REQUEST, or what the database said */
  connect(request: SessionRequest): Promise<Session>;
  /** Whether nothing of it was applied and the same may succeed when it is tried anew. */
  mayPass(error: unknown, phase: Phase, session: Session | undefined): boolean;
  /** How to tell that it has been tried for long enough. */
  busy(error: unknown, description: string): StompError;
  /** Nothing is running. */
  close(): Promise<void>;
}

/** A statement has ended the transaction that it was in. */
export function endedWithin(cause: unknown): StompError {
  return new StompError(
    'INVALID_REQUEST',
    'The transaction was ended by a statement in it. Leave COMMIT and ROLLBACK to the guard, and let errors of statements pass.',
    { cause },
  );
}
