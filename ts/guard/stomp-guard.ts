/** Resources held for one operation. */
import { StompError } from '../errors.js';
import { fencedError, type Tokens } from './fences.js';
import type { Lease } from './lease.js';

export interface StompGuardSetup {
  readonly options: { readonly intent: string; readonly agentId: string; readonly sessionId: string };
  readonly lease: Lease | undefined;
  readonly open: readonly string[];
  end(outcome: string, releaseFailure?: string): void;
}

const noTokens: Tokens = new Map();
const neverAborts = new AbortController().signal;

/** What an operation is given: the tokens that the resources will ask for, and a signal for when they are lost. */
export class StompGuard {
  readonly intent: string;
  readonly agentId: string;
  readonly sessionId: string;
  /** By key; none for what is not locked. */
  readonly tokens: Tokens;
  /** Keys that somebody else holds, of a class that merges: changes of them are left to be merged. */
  readonly open: readonly string[];
  readonly #setup: StompGuardSetup;
  #committed = false;
  #left = false;

  /** @internal */
  constructor(setup: StompGuardSetup) {
    this.#setup = setup;
    this.intent = setup.options.intent;
    this.agentId = setup.options.agentId;
    this.sessionId = setup.options.sessionId;
    this.tokens = setup.lease?.tokens ?? noTokens;
    this.open = setup.open;
  }

  /** Aborts when the lease is lost, with LEASE_LOST as the reason. */
  get signal(): AbortSignal {
    return this.#setup.lease?.signal ?? neverAborts;
  }

  /** Whether all of it is still held, as far as this process knows. */
  get held(): boolean {
    return this.#setup.lease?.held ?? true;
  }

  /** The resource has accepted the tokens and the change is made: to lose the lease from now on is no error. */
  committed(): void {
    this.#committed = true;
  }

  /**
   * @internal Whether the caller holds what it believes to hold: it may have taken more by now, but not that anew.
   * @throws FencedError
   */
  async checkToken(believed: bigint | undefined): Promise<void> {
    const held = [...this.tokens];
    if (believed === undefined || held.some(([, token]) => token === believed)) return;
    const [key, token] = held[0] ?? [this.open[0] ?? '', believed];
    const error = fencedError(key, believed, token > believed ? token : believed);
    await this.leave(error);
    throw error;
  }

  /**
   * Gives the resources back.
   * @throws LeaseLostError when they were lost before the change was made.
   */
  async release(): Promise<void> {
    if (this.#left) return;
    this.#left = true;
    try {
      await this.#setup.lease?.release();
      this.#setup.end('ok');
    } catch (error) {
      const outcome = error instanceof StompError ? error.code : 'failed';
      // Of a change that is made nobody is told that it is not; what was not released expires.
      this.#setup.end(this.#committed ? 'ok' : outcome, outcome);
      if (!this.#committed) throw error;
    }
  }

  /** @internal Gives the resources back after a failure, which is what counts then. */
  async leave(failure: unknown): Promise<void> {
    if (this.#left) return;
    this.#left = true;
    // What cannot be released now expires.
    await this.#setup.lease?.release().catch(() => undefined);
    this.#setup.end(failure instanceof StompError ? failure.code : 'failed');
  }

  /** Releases it; that it was lost before is no error here. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.release().catch((error: unknown) => {
      if (!(error instanceof StompError && error.code === 'LEASE_LOST')) throw error;
    });
  }
}
