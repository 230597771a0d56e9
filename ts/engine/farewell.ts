/** How an engine goes: its requests end or are cancelled, then it saves its agents. Main thread only. */
import { setTimeout as delay } from 'node:timers/promises';
import { type StompError, toStompError } from '../errors.js';
import type { Leased } from './leases.js';
import type { ModelChange } from './model-status.js';
import type { RegistryEngine } from './registry-options.js';
import type { AgentInfo } from './types.js';

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

  /**
   * Never rejects: an engine that could not save is gone as well.
   * @param reason what cancelled requests are told
   * @param last called when no request is left; never rejects
   */
  async end(
    leased: Leased<RegistryEngine>,
    reason: StompError,
    last?: (engine: RegistryEngine) => Promise<void>,
  ): Promise<Farewell> {
    const began = performance.now();
    await within(leased.idle(), this.#timeoutMs, this.#hurry);
    const cancelledRequests = leased.cancel(reason);
    if (cancelledRequests > 0) await within(leased.idle(), LAST_WORDS_MS, undefined);
    const drained = performance.now();
    await last?.(leased.engine);
    const unsaved = await leased.engine.close().then(
      () => undefined,
      (error: unknown) => toStompError(error),
    );
    const closed = performance.now();
    return { drainMs: drained - began, closeMs: closed - drained, cancelledRequests, unsaved };
  }
}

/**
 * Lists the agents of an engine that is about to go: at once, then as they stay on disk, those in memory saved. Whom
 * that fails for is left out unless the disk has an earlier state.
 * @throws what `agents` throws
 */
export async function lastLook(
  engine: RegistryEngine,
  tell: (agents: readonly AgentInfo[] | undefined) => void,
): Promise<void> {
  tell(await engine.agents?.());
  // Closing saves once more, and says who could not be saved.
  await engine.clearCaches?.({}).catch(() => undefined);
  const all = await engine.agents?.();
  const kept = all?.filter(({ diskBytes }) => diskBytes > 0);
  tell(kept?.map((agent) => ({ ...agent, tier: tierOnDisk(agent), saved: true, blocks: 0, poolBytes: 0 })));
}

function tierOnDisk({ tier }: AgentInfo): AgentInfo['tier'] {
  return tier === 'cold' ? 'cold' : 'warm';
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
