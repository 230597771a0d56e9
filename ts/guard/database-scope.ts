/**
 * Operations within operations on one transaction. The outermost is the transaction, those within are savepoints. Only
 * the innermost may reach the database: otherwise what an outer one does beside it would be undone with it.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { StompError } from '../errors.js';
import type { Cut } from './cut.js';
import { DatabaseClient } from './database-client.js';
import { type Access, endedWithin, type Session } from './database-session.js';

/** What a transaction does. */
export type DatabaseOperation<T> = (client: DatabaseClient) => T | Promise<T>;

/** Which operation the running code belongs to; one for each guard. */
export type Scopes = AsyncLocalStorage<Scope>;

/** What all operations on a transaction share. */
interface Root {
  readonly session: Session;
  readonly cut: Cut;
  readonly token: bigint | undefined;
  readonly scopes: Scopes;
  innermost: Scope;
  /** Why nothing may be done with it any more. */
  over: StompError | undefined;
  outcome: 'open' | 'applied' | 'undone';
}

export class Scope {
  readonly access: Access;
  readonly client: DatabaseClient;
  readonly #root: Root;
  readonly #depth: number;
  /** The last of the operations within, which go one after the other. */
  #last: Promise<unknown> = Promise.resolve();
  #ended = false;

  private constructor(access: Access, root: Omit<Root, 'innermost'> & { innermost?: Scope }, depth: number) {
    root.innermost ??= this;
    this.access = access;
    this.#root = root as Root;
    this.#depth = depth;
    const { session, cut, token } = root;
    this.client = new DatabaseClient({
      token,
      signal: cut.signal,
      sqlite: session.sqlite,
      postgres: session.postgres,
      check: () => this.check(),
      run: (sql, params) => session.run(sql, params),
    });
  }

  static outermost(
    access: Access,
    parts: { session: Session; cut: Cut; token: bigint | undefined; scopes: Scopes },
  ): Scope {
    return new Scope(access, { ...parts, over: undefined, outcome: 'open' }, 0);
  }

  /** Whether the transaction is still going on. */
  get open(): boolean {
    return this.#root.outcome === 'open';
  }

  /**
   * What code of this operation begins is part of it, and must not be applied when the operation was not. Only when
   * that is settled, and well, may it begin something of its own.
   */
  get governs(): boolean {
    return this.#root.outcome !== 'applied';
  }

  async run<T>(operation: DatabaseOperation<T>): Promise<T> {
    const root = this.#root;
    try {
      return await root.scopes.run(this, async () => operation(this.client));
    } finally {
      // What it does from now on would be part of nothing, so that none of it may count.
      if (root.innermost !== this)
        root.over ??= misused(`${stillGoingOn} Await it before the outer one returns.`);
    }
  }

  /** What is still going on reaches the database no more. */
  finish(): void {
    this.#ended = true;
    this.#root.over ??= misused(hasEnded);
  }

  /** Of the outermost, once the transaction has ended. */
  end(outcome: 'applied' | 'undone'): void {
    this.finish();
    this.#root.outcome = outcome;
  }

  /** @throws StompError why this operation may not use the transaction, now or ever. */
  check(): void {
    const { over, innermost, scopes, cut } = this.#root;
    cut.check();
    if (over) throw over;
    if (this.#ended) throw misused(hasEnded);
    if (innermost !== this && scopes.getStore() !== innermost) {
      throw misused(`${stillGoingOn} Await it before the outer one goes on.`);
    }
  }

  /** An operation within this one: its failure undoes what it did and no more. */
  within<T>(access: Access, operation: DatabaseOperation<T>): Promise<T> {
    if (this.access === 'read' && access === 'write') {
      throw misused(
        'A transaction cannot begin within a read. Begin the transaction first and read within it.',
      );
    }
    const turn = this.#last.then(() => this.#within(access, operation));
    // Its caller has the error.
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  async #within<T>(access: Access, operation: DatabaseOperation<T>): Promise<T> {
    this.check();
    const root = this.#root;
    const name = `stomp_${this.#depth + 1}`;
    const readOnly = access === 'read';
    const inner = new Scope(access, root, this.#depth + 1);
    root.innermost = inner;
    try {
      await root.session.savepoint(name, readOnly);
      const result = await inner.run(operation);
      inner.check();
      await root.session.releaseSavepoint(name, readOnly);
      return result;
    } catch (error) {
      if (!root.over) await this.#undo(name, readOnly);
      throw error;
    } finally {
      inner.#ended = true;
      root.innermost = this;
    }
  }

  async #undo(name: string, readOnly: boolean): Promise<void> {
    try {
      await this.#root.session.rollbackTo(name, readOnly);
    } catch (error) {
      this.#root.over ??= endedWithin(error);
    }
  }
}

const hasEnded = 'The transaction has ended. Await all that belongs to it.';
const stillGoingOn = 'An operation within the transaction is still going on.';

function misused(message: string): StompError {
  return new StompError('INVALID_REQUEST', message);
}

export function newScopes(): Scopes {
  return new AsyncLocalStorage<Scope>();
}
