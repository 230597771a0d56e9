/** For callers who, told that somebody was faster, want the change all the same. */
import { setTimeout as sleep } from 'node:timers/promises';
import { checkFields, checkInteger, checkNumber, checkSignal } from '../arguments.js';
import { StompError } from '../errors.js';
import { ConflictError } from './errors.js';
import type { ContextFigures } from './figures.js';
import type { CurrentProject } from './types.js';

/** How often, and how soon. */
export interface RetryOptions {
  /** How often to try in all. @default 8 */
  readonly attempts?: number;
  /** Longest first pause; each further one may be twice as long, up to a second. @default 5 */
  readonly pauseMs?: number;
  readonly signal?: AbortSignal;
}

const longestPauseMs = 1000;

/**
 * Loads what is current and changes it; upon a conflict waits for a random time and does so again.
 * @throws ConflictError after the last attempt; StompError CANCELLED; whatever else `change` throws, at once
 */
export async function withRetry<T>(
  load: () => Promise<CurrentProject>,
  change: (current: CurrentProject) => Promise<T>,
  options: RetryOptions,
  figures: ContextFigures,
): Promise<T> {
  checkFields('options', options, ['attempts', 'pauseMs', 'signal']);
  const attempts = checkInteger('attempts', options.attempts, 8, { min: 1, max: 1000 });
  const pauseMs = checkNumber('pauseMs', options.pauseMs, 5, { min: 0, max: longestPauseMs });
  const signal = checkSignal('signal', options.signal);
  for (let attempt = 1; attempt < attempts; attempt++) {
    try {
      return await once(attempt > 1);
    } catch (error) {
      if (!(error instanceof ConflictError)) throw error;
    }
    await pause(Math.random() * Math.min(longestPauseMs, pauseMs * 2 ** (attempt - 1)), signal);
  }
  return once(attempts > 1).catch((error: unknown) => {
    if (error instanceof ConflictError) figures.count('conflicts_given_up');
    throw error;
  });

  async function once(again: boolean): Promise<T> {
    if (signal?.aborted) throw cancelled(signal.reason);
    const result = await change(await load());
    if (again) figures.count('conflicts_resolved');
    return result;
  }
}

async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  await sleep(ms, undefined, signal ? { signal } : {}).catch((cause: unknown) => {
    throw cancelled(cause);
  });
}

function cancelled(cause: unknown): StompError {
  return new StompError('CANCELLED', 'The change was cancelled before its next attempt.', { cause });
}
