/** How an engine goes: its requests end or are cancelled, then it saves its agents. Main thread only. */
import { setTimeout as delay } from 'node:timers/promises';
import { type StompError, toStompError } from '../errors.js';
import type { Leased } from './leases.js';
import type { ModelChange } from './model-status.js';
import type { RegistryEngine } from './registry-options.js';

export type Farewell = Pick<ModelChange, 'drainMs' | 'closeMs' | 'cancelledRequests' | 'unsaved'>;

/** For cancelled requests to say so. */
const LAST_WORDS_MS = 2000;

export class Drainer {
  readonly #timeoutMs: number;
  readonly #hurry: AbortSignal;

  /** @param hurry aborted: requests are cancelled at once */
  constructor({ drainTimeoutMs }: { readonly drainTimeoutMs: number }, hurry: AbortSignal) {
    this.#timeoutMs = drainTimeoutMs;
    this.#hurry = hurry;
  }

  /** @param reason what cancelled requests are told. Never rejects: an engine that could not save is gone as well. */
  async end(leased: Leased<RegistryEngine>, reason: StompError): Promise<Farewell> {
    const began = performance.now();
    await within(leased.idle(), this.#timeoutMs, this.#hurry);
    const cancelledRequests = leased.cancel(reason);
    if (cancelledRequests > 0) await within(leased.idle(), LAST_WORDS_MS, undefined);
    const drained = performance.now();
    const unsaved = await leased.engine.close().then(
      () => undefined,
      (error: unknown) => toStompError(error),
    );
    const closed = performance.now();
    return { drainMs: drained - began, closeMs: closed - drained, cancelledRequests, unsaved };
  }
}

/** Waits for `event`, but not longer than `ms` or until `hurry`. */
async function within(event: Promise<void>, ms: number, hurry: AbortSignal | undefined): Promise<void> {
  const end = new AbortController();
  const signal = hurry ? AbortSignal.any([hurry, end.signal]) : end.signal;
  try {
    await Promise.race([event, delay(ms, undefined, { signal }).catch(() => undefined)]);
  } finally {
    end.abort();
  }
}
