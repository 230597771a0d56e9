/** The audits of the sessions that are being written: one writer each, however many runs a session has. */
import { join } from 'node:path';
import { RunAudit } from './run-audit.js';

export interface AuditsOptions {
  /** A folder for each session lies in it. */
  readonly folder: string;
  /** Secrets that the process holds. */
  readonly secrets: readonly string[];
}

interface Held {
  readonly audit: RunAudit;
  users: number;
}

export class Audits {
  readonly #options: AuditsOptions;
  readonly #held = new Map<string, Held>();

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
    const held = this.#take(sessionId);
    try {
      return await work(held.audit);
    } finally {
      held.users--;
      if (held.users === 0) {
        this.#held.delete(sessionId);
        await held.audit.close();
      }
    }
  }

  #take(sessionId: string): Held {
    const known = this.#held.get(sessionId);
    if (known) {
      known.users++;
      return known;
    }
    const { secrets } = this.#options;
    const held = { audit: RunAudit.open({ folder: this.folderOf(sessionId), secrets }), users: 1 };
    this.#held.set(sessionId, held);
    return held;
  }
}
