/** The audits of the sessions that are being written: one writer each, however many runs a session has. */
import { join } from 'node:path';
import { RunAudit } from './run-audit.js';
import { takePlace, type WriterPlace } from './writer-place.js';

export interface AuditsOptions {
  /** A folder for each session lies in it. */
  readonly folder: string;
  /** Secrets that the process holds. */
  readonly secrets: readonly string[];
}

interface Held {
  readonly audit: RunAudit;
  readonly place: WriterPlace;
  users: number;
}

export class Audits {
  readonly #options: AuditsOptions;
  readonly #held = new Map<string, Held>();
  readonly #closing = new Map<string, Promise<void>>();

  constructor(options: AuditsOptions) {
    this.#options = options;
  }

  folderOf(sessionId: string): string {
    return join(this.#options.folder, sessionId);
  }

  /**
   * The audit of a session for as long as the work takes.
   * @throws StompError LOG_UNWRITABLE
   */
  async use<T>(sessionId: string, work: (audit: RunAudit) => Promise<T> | T): Promise<T> {
    // Once it is closed: two at a time would be two writers.
    while (this.#closing.has(sessionId)) await this.#closing.get(sessionId)?.catch(() => undefined);
    const held = this.#take(sessionId);
    try {
      return await work(held.audit);
    } finally {
      held.users--;
      if (held.users === 0) await this.#close(sessionId, held);
    }
  }

  #close(sessionId: string, { audit, place }: Held): Promise<void> {
    this.#held.delete(sessionId);
    const closing = audit.close().finally(() => {
      place.release();
      this.#closing.delete(sessionId);
    });
    this.#closing.set(sessionId, closing);
    return closing;
  }

  #take(sessionId: string): Held {
    const known = this.#held.get(sessionId);
    if (known) {
      known.users++;
      return known;
    }
    const { secrets } = this.#options;
    const place = takePlace(this.folderOf(sessionId));
    try {
      const held = { audit: RunAudit.open({ folder: place.folder, secrets }), place, users: 1 };
      this.#held.set(sessionId, held);
      return held;
    } catch (error) {
      place.release();
      throw error;
    }
  }
}
