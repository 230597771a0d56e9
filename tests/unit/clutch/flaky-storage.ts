/** A database that goes away, comes back, and loses answers when a test wants it to. */
import { StompError } from '../../../ts/errors.js';
import type { Work } from '../../../ts/storage/storage.js';
import { WrappedStorage } from '../guard/wrapped-storage.js';

export class FlakyStorage extends WrappedStorage {
  isAway = false;
  /** So many of the next transactions that write are committed, and the caller is told that they failed. */
  answersToLose = 0;
  /** Transactions begun. */
  reads = 0;
  writes = 0;

  override async write<T>(work: () => Work<T>): Promise<T> {
    this.writes++;
    if (this.isAway) throw away();
    const result = await super.write(work);
    if (this.answersToLose === 0) return result;
    this.answersToLose--;
    throw away();
  }

  override async read<T>(work: () => Work<T>): Promise<T> {
    this.reads++;
    if (this.isAway) throw away();
    return super.read(work);
  }

  override async listen(channel: string, call: () => void): Promise<() => Promise<void>> {
    if (this.isAway) throw away();
    return super.listen(channel, call);
  }
}

export function away(): StompError {
  return new StompError('DB_BUSY', 'The database is away.');
}
