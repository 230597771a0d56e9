/** One call at work for all in this process who ask for the same at the same time. */
import { StompError } from '../errors.js';
import { busyError } from './errors.js';
import type { Owner } from './lock-table.js';

export interface Follower extends Owner {
  /** What the call is about. */
  readonly key: string;
  readonly maxWaitMs: number;
  readonly signal: AbortSignal | undefined;
}

interface Running {
  readonly owner: Owner;
  readonly result: Promise<unknown>;
}

export class SharedCalls {
  readonly #running = new Map<string, Running>();

  /**
   * @param name what is the same
   * @returns what the call at work gives, or one's own call if there is none or it fails
   * @throws StompError RESOURCE_BUSY, CANCELLED, and whatever one's own call throws
   */
  async run<T>(name: string, follower: Follower, call: () => Promise<T>): Promise<T> {
    const began = performance.now();
    for (;;) {
      const running = this.#running.get(name);
      if (!running) return this.#lead(name, follower, call);
      const followed = await follow<T>(running, follower, performance.now() - began);
      if (followed) return followed.result;
    }
  }

  #lead<T>(name: string, owner: Owner, call: () => Promise<T>): Promise<T> {
    const result = call().finally(() => this.#running.delete(name));
    this.#running.set(name, { owner, result });
    return result;
  }
}

/** Undefined when it fails: what failed for another may well succeed here. */
function follow<T>(
  running: Running,
  follower: Follower,
  waitedMs: number,
): Promise<{ result: T } | undefined> {
  const { maxWaitMs, signal } = follower;
  return new Promise((resolve, reject) => {
    const leave = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    };
    const abort = () => {
      leave();
      reject(
        new StompError('CANCELLED', 'The call was cancelled while it waited.', { cause: signal?.reason }),
      );
    };
    const timer = setTimeout(
      () => {
        leave();
        reject(stillAtWork(running, follower));
      },
      Math.max(0, maxWaitMs - waitedMs),
    );
    signal?.addEventListener('abort', abort, { once: true });
    if (signal?.aborted) abort();
    running.result.then(
      (result) => {
        leave();
        resolve({ result: result as T });
      },
      () => {
        leave();
        resolve(undefined);
      },
    );
  });
}

function stillAtWork({ owner }: Running, { key, maxWaitMs }: Follower): StompError {
  return busyError(
    `Agent ${owner.agentId} (session ${owner.sessionId}) is still making the same of ${key}; waited ${maxWaitMs} ms. Try again later, or wait longer.`,
    { key, holder: owner, waitMs: maxWaitMs, maxWaitMs },
  );
}
