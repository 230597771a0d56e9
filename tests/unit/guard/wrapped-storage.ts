/** A database in whose transactions a test can step in. */
import type { Migration, Row, Statement, Storage, Work } from '../../../ts/storage/storage.js';

export class WrappedStorage implements Storage {
  /** Awaited before every transaction that writes. */
  beforeWrite: () => Promise<void> = async () => undefined;
  /** Asked before every statement of such a transaction: what it throws, the transaction fails with. */
  beforeStatement: (statement: Statement) => void = () => undefined;
  readonly #inner: Storage;

  constructor(inner: Storage) {
    this.#inner = inner;
  }

  get dialect(): 'sqlite' | 'postgres' {
    return this.#inner.dialect;
  }

  get name(): string {
    return this.#inner.name;
  }

  migrate(migrations: readonly Migration[]): Promise<void> {
    return this.#inner.migrate(migrations);
  }

  async write<T>(work: () => Work<T>): Promise<T> {
    await this.beforeWrite();
    return this.#inner.write(() => this.#watched(work()));
  }

  read<T>(work: () => Work<T>): Promise<T> {
    return this.#inner.read(work);
  }

  clock(): Statement {
    return this.#inner.clock();
  }

  notify(channel: string): Work<void> {
    return this.#inner.notify(channel);
  }

  listen(channel: string, call: () => void): Promise<() => Promise<void>> {
    return this.#inner.listen(channel, call);
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  *#watched<T>(work: Work<T>): Work<T> {
    let step = work.next([]);
    while (!step.done) {
      this.beforeStatement(step.value);
      const found: readonly Row[] = yield step.value;
      step = work.next(found);
    }
    return step.value;
  }
}
