/** Trying again after failures that pass. The one place for it: the client libraries' own retries are off. */
import { setTimeout as sleep } from 'node:timers/promises';
import { StompError } from '../../errors.js';
import { ended, ProviderFailure, readFailure } from './failures.js';

/** Time and chance, so that tests need neither. */
export interface RetryClock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Rejects when `signal` is aborted. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  /** 0 up to 1. */
  random(): number;
}

export const systemClock: RetryClock = {
  now: Date.now,
  sleep: (ms, signal) => sleep(ms, undefined, { signal }),
  random: Math.random,
};

export interface RetrySetup {
  readonly provider: string;
  /** How often to try in all. */
  readonly tries: number;
  /** A provider that wants to be left alone for longer is given up. */
  readonly longestWaitMs: number;
  readonly clock: RetryClock;
  /** Takes secrets out of a text. */
  readonly redact: (text: string) => string;
}

export interface RetryNotice {
  /** Of the attempt to come, from 2. */
  readonly attempt: number;
  readonly waitMs: number;
  readonly reason: string;
}

const firstPauseMs = 500;
const longestPauseMs = 30_000;

/**
 * @param signal rejects with its reason where that is a StompError, with CANCELLED otherwise
 * @throws StompError PROVIDER_FAILED, PROVIDER_LIMITED, CANCELLED, or what `attempt` threw if that was one
 */
export async function withRetries<T>(
  attempt: () => Promise<T>,
  onRetry: (notice: RetryNotice) => void,
  signal: AbortSignal,
  setup: RetrySetup,
): Promise<T> {
  const { clock, redact } = setup;
  for (let tried = 1; ; tried++) {
    if (signal.aborted) throw ended(signal);
    const outcome = await settle(attempt);
    if ('value' in outcome) return outcome.value;
    if (signal.aborted) throw ended(signal);
    const failure = readFailure(outcome.error, clock.now());
    const waitMs = waitAfter(failure, tried, setup);
    if (failure instanceof StompError || waitMs === undefined) throw finalError(failure, tried, setup);
    onRetry({ attempt: tried + 1, waitMs, reason: shortened(redact(failure.message)) });
    await clock.sleep(waitMs, signal).catch((error: unknown) => {
      throw signal.aborted ? ended(signal) : error;
    });
  }
}

async function settle<T>(attempt: () => Promise<T>): Promise<{ value: T } | { error: unknown }> {
  try {
    return { value: await attempt() };
  } catch (error) {
    return { error };
  }
}

/** @returns undefined when there is no point in another attempt */
function waitAfter(
  failure: ProviderFailure | StompError,
  tried: number,
  { tries, longestWaitMs, clock }: RetrySetup,
): number | undefined {
  if (!(failure instanceof ProviderFailure) || !failure.passing || tried >= tries) return undefined;
  const pauseMs = Math.min(longestPauseMs, firstPauseMs * 2 ** (tried - 1));
  // Half of a pause, and a tenth of a wait that was asked for, are left to chance: those refused together come apart.
  if (failure.waitMs === undefined) return Math.round((pauseMs / 2) * (1 + clock.random()));
  if (failure.waitMs > longestWaitMs) return undefined;
  return Math.round(failure.waitMs * (1 + clock.random() / 10));
}

function finalError(failure: ProviderFailure | StompError, tried: number, setup: RetrySetup): StompError {
  if (failure instanceof StompError) return failure;
  const { provider, redact } = setup;
  const { status, waitMs } = failure;
  const reason = shortened(redact(failure.message));
  const fields = { provider, attempts: tried, ...(status === undefined ? {} : { status }) };
  if (status === 429) {
    const when = waitMs === undefined ? 'later' : `in ${Math.ceil(waitMs / 1000)} s`;
    const message = `The limit of ${provider} is reached: ${reason}. Try again ${when}, or use another provider.`;
    return new StompError('PROVIDER_LIMITED', message, { fields: { ...fields, retry_after_ms: waitMs } });
  }
  const message = `${provider} failed${times(tried)}: ${reason}. ${remedy(failure)}`;
  return new StompError('PROVIDER_FAILED', message, { fields });
}

function times(tried: number): string {
  return tried === 1 ? '' : ` ${tried} times, the last time`;
}

function remedy({ status, passing }: ProviderFailure): string {
  if (status === 401 || status === 403) return 'Check its key, and what the key may do.';
  if (status === 404) return 'Check the name of the model and the address.';
  return passing
    ? 'Try again later, or use another provider.'
    : 'Change the request, or use another provider.';
}

function shortened(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim().replace(/\.$/, '');
  return line.length > 500 ? `${line.slice(0, 497)}...` : line;
}
