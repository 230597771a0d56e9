/** Where records of reservations lie: a folder of the repository, or a database that several machines share. */
import type { Amendment, Intent, Reservation, Warning } from '../types.js';

/** Everything that was ever written and is not archived; expired and released ones too. */
export interface Records {
  readonly reservations: readonly Reservation[];
  readonly intents: readonly Intent[];
  readonly amendments: readonly Amendment[];
  readonly warnings: readonly Warning[];
}

/** Written once, never changed. */
export interface RecordStore {
  /** All that there is now. @throws StompError DB_BUSY */
  read(): Promise<Records>;
  /** @throws StompError DB_BUSY */
  addReservation(reservation: Reservation): Promise<void>;
  /** @throws StompError DB_BUSY */
  addIntent(intent: Intent): Promise<void>;
  /** @throws StompError DB_BUSY */
  addAmendment(amendment: Amendment): Promise<void>;
  /**
   * Runs `work` while nobody else, in any process, is inside of `alone` for the same store.
   * @throws StompError CANCELLED, DB_BUSY
   */
  alone<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T>;
  /** Moves records that ended before a time aside. @returns how many */
  archive(endedBefore: Date): Promise<number>;
  /** Resolves when something may have changed, or after a while. */
  changed(signal?: AbortSignal): Promise<void>;
  /** Gives back what it holds. May be called again. */
  close(): Promise<void>;
}
