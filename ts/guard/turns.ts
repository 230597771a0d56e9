/**
 * Turns within one process. The lock table lets a session in as often as it asks, so that it does not wait for itself;
 * where two calls of one session must not be at work together, they take turns here.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { StompError } from '../errors.js';
import { busyError } from './errors.js';
import type { Owner } from './lock-table.js';

export interface TurnLimit {
  /** 0: only if nobody is before it. */
  readonly maxWaitMs: number;
  readonly signal: AbortSignal | undefined;
}

export class Turns {
  /** By name, what the next one waits for. */
  readonly #last = new Map<string, Promise<unknown>>();

  /**
   * Runs the work when all that was asked for before it, under the same name, has ended.
   * @param work is told how many milliseconds of its patience are left
   * @returns `late` when time was up before its turn came
   * @throws StompError CANCELLED, and whatever the work throws
   */
  async run<T>(
    name: string,
    work: (leftMs: number) => Promise<T>,
    limit: TurnLimit,
  ): Promise<{ result: T } | 'late'> {
    const before = this.#last.get(name);
    let leave: (done?: unknown) => void = () => undefined;
    const left = new Promise((resolve) => {
      leave = resolve;
    });
    // Whoever gives up leaves a place that is free only when those before it are done.
    const place = left.then(() => before);
    this.#last.set(name, place);
    void place.then(() => {
      if (this.#last.get(name) === place) this.#last.delete(name);
    });
    const askedAt = performance.now();
    try {
      if (before && !(await ended(before, limit))) return 'late';
      const leftMs = Math.max(0, Math.round(limit.maxWaitMs - (performance.now() - askedAt)));
      return { result: await work(leftMs) };
    } finally {
      leave();
    }
  }
}

/** False when time is up first. */
async function ended(before: Promise<unknown>, { maxWaitMs, signal }: TurnLimit): Promise<boolean> {
  const over = new AbortController();
  const stop = AbortSignal.any(signal ? [over.signal, signal] : [over.signal]);
  const patience = sleep(maxWaitMs, false, { signal: stop }).catch((error: unknown) => {
    throw new StompError('CANCELLED', 'The wait for another call of this session was cancelled.', {
      cause: signal?.reason ?? error,
    });
  });
  try {
    return await Promise.race([before.then(() => true), patience]);
  } finally {
    over.abort();
  }
}

/** That a call of the same session was at it for too long. */
export function busyWithItself(key: string, session: Owner, maxWaitMs: number): StompError {
  return busyError(
    `${key} is held or waited for by another call of this session; waited ${maxWaitMs} ms. Try again later, or wait longer.`,
    { key, holder: session, waitMs: maxWaitMs, maxWaitMs },
  );
}
