/** One try at a transaction. */
import { StompError } from '../errors.js';
import { type DatabaseOperation, Scope, type Scopes } from './database-scope.js';
import type { GuardedDatabase, Phase, Session, SessionRequest, Work } from './database-session.js';
import { fencedError } from './fences.js';

export interface AttemptRequest<T> extends SessionRequest {
  readonly operation: DatabaseOperation<T>;
  readonly scopes: Scopes;
  readonly resourceKey: string;
  /** Under which is written. */
  readonly token: bigint | undefined;
  /** Called when the database has accepted a higher token. */
  refused(error: StompError): Promise<void>;
  /** Called once it is written. */
  committed(): void;
}

const nothing: Work = { settled: true, done: Promise.resolve() };

export class Attempt<T> {
  readonly #database: GuardedDatabase;
  readonly #request: AttemptRequest<T>;
  #phase: Phase = 'begin';
  #work = nothing;
  #mayPass = false;

  constructor(database: GuardedDatabase, request: AttemptRequest<T>) {
    this.#database = database;
    this.#request = request;
  }

  /** Of one that has failed: whether another may succeed. */
  get mayPass(): boolean {
    return this.#mayPass && !this.#request.cut.signal.aborted;
  }

  /** @throws what the operation throws, as it is; why the call was cut; StompError FENCED, DB_BUSY, INVALID_REQUEST */
  async run(): Promise<T> {
    const session = await this.#database
      .connect(this.#request)
      .catch((error: unknown) => this.#failed(error));
    try {
      return await this.#transact(session);
    } catch (error) {
      this.#note(error, session);
      await session.rollback(this.#work);
      throw error;
    } finally {
      this.#request.cut.unlimit();
      session.leave(this.#work);
    }
  }

  async #transact(session: Session): Promise<T> {
    const { cut, access, patience, token, scopes } = this.#request;
    await session.begin();
    await this.#accept(session);
    this.#phase = 'work';
    this.#limit();
    const beganAt = performance.now();
    const scope = Scope.outermost(access, { session, cut, token, scopes });
    let outcome: 'applied' | 'undone' = 'undone';
    try {
      const result = await this.#operate(scope);
      scope.check();
      scope.finish();
      if (access === 'read') await session.rollback(this.#work);
      else await session.commit(patience.extendedBy(performance.now() - beganAt));
      outcome = 'applied';
      this.#request.committed();
      return result;
    } finally {
      scope.end(outcome);
    }
  }

  /** @throws FencedError */
  async #accept(session: Session): Promise<void> {
    const { token, resourceKey } = this.#request;
    if (token === undefined) return;
    const higher = await session.accept(resourceKey, token);
    if (higher === undefined) return;
    const error = fencedError(resourceKey, token, higher);
    await this.#request.refused(error);
    throw error;
  }

  #operate(scope: Scope): Promise<T> {
    const running = scope.run(this.#request.operation);
    this.#work = followed(running);
    return this.#request.cut.race(running);
  }

  #limit(): void {
    const { cut, maxDurationMs, description, resourceKey } = this.#request;
    cut.limit(
      maxDurationMs,
      () =>
        new StompError(
          'CANCELLED',
          `"${description}" took longer than ${maxDurationMs} ms and was rolled back. Keep slow work out of the transaction, do less in one, or raise maxDurationMs.`,
          { fields: { resource_key: resourceKey, description, max_duration_ms: maxDurationMs } },
        ),
    );
  }

  #note(error: unknown, session?: Session): void {
    this.#mayPass = this.#database.mayPass(error, this.#phase, session);
  }

  #failed(error: unknown): never {
    this.#note(error);
    throw error;
  }
}

function followed(running: Promise<unknown>): Work {
  const work = { settled: false, done: Promise.resolve() };
  const settle = () => {
    work.settled = true;
  };
  work.done = running.then(settle, settle);
  return work;
}
