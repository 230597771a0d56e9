/** Calls of one process that wait for one log. Whoever gets at it writes for all of them. */
import { StompError } from '../errors.js';
import type { BatchCall, Stored } from './log-batch.js';
import type { AppendResult } from './progress-log.js';

/** A call whose caller waits. */
export interface QueuedCall extends BatchCall {
  resolve(result: AppendResult): void;
  reject(error: unknown): void;
}

/** What became of calls whose entries are stored. */
export type StoredCalls = ReadonlyMap<QueuedCall, Stored>;

export interface Turn {
  /** Whoever has waited the longest. */
  readonly agentId: string;
  /** Aborts when nobody waits any more. */
  readonly signal: AbortSignal;
  /** Those who wait by now: they are then answered by whoever takes them, unless that throws. */
  take(): readonly QueuedCall[];
}

// A call alone may have as many.
const mostItems = 1000;
// Whose lease was lost before anything was stored begins anew.
const mostTries = 3;

export class LogQueue {
  readonly #run: (turn: Turn) => Promise<void>;
  readonly #waiting = new Set<QueuedCall>();
  readonly #tries = new WeakMap<QueuedCall, number>();
  #abort = new AbortController();
  #working: Promise<void> | undefined;

  constructor(run: (turn: Turn) => Promise<void>) {
    this.#run = run;
  }

  /** Settles when nobody waits any more; undefined when nobody does. */
  get working(): Promise<void> | undefined {
    return this.#working;
  }

  /** @throws StompError CANCELLED, and whatever the turn fails with */
  add({ items, who }: BatchCall): Promise<AppendResult> {
    return new Promise((resolve, reject) => {
      const cancel = () => {
        if (!this.#waiting.delete(call)) return;
        reject(cancelled(who.signal?.reason));
        if (this.#waiting.size === 0) this.#abort.abort();
      };
      const settled = () => who.signal?.removeEventListener('abort', cancel);
      const call: QueuedCall = {
        items,
        who,
        resolve: (result) => {
          settled();
          resolve(result);
        },
        reject: (error) => {
          settled();
          reject(error);
        },
      };
      if (who.signal?.aborted) return reject(cancelled(who.signal.reason));
      who.signal?.addEventListener('abort', cancel, { once: true });
      this.#waiting.add(call);
      this.#working ??= this.#work();
    });
  }

  async #work(): Promise<void> {
    // Those who call in the same breath go together.
    await Promise.resolve();
    for (let first = this.#first(); first; first = this.#first()) await this.#turn(first.who.agentId);
    // In the same breath as the look at who waits: whoever comes next begins anew.
    this.#working = undefined;
  }

  #first(): QueuedCall | undefined {
    return this.#waiting.values().next().value;
  }

  async #turn(agentId: string): Promise<void> {
    const early = [...this.#waiting];
    const taken: QueuedCall[] = [];
    this.#abort = new AbortController();
    const take = () => {
      taken.push(...this.#take());
      return taken;
    };
    try {
      await this.#run({ agentId, signal: this.#abort.signal, take });
    } catch (error) {
      // Who came while others waited in vain has not waited yet.
      for (const call of early) if (this.#waiting.delete(call)) call.reject(error);
      this.#failed(taken, error);
    }
  }

  #take(): QueuedCall[] {
    const taken: QueuedCall[] = [];
    let items = 0;
    for (const call of this.#waiting) {
      items += call.items.length;
      if (taken.length > 0 && items > mostItems) break;
      taken.push(call);
      this.#waiting.delete(call);
    }
    return taken;
  }

  #failed(calls: readonly QueuedCall[], error: unknown): void {
    const fenced = error instanceof StompError && error.code === 'FENCED';
    for (const call of calls) {
      const tries = (this.#tries.get(call) ?? 0) + 1;
      this.#tries.set(call, tries);
      if (fenced && tries < mostTries) this.#waiting.add(call);
      else call.reject(error);
    }
  }
}

function cancelled(cause: unknown): StompError {
  return new StompError('CANCELLED', 'The entry was cancelled while it waited; it is not written.', {
    cause,
  });
}
