/** A provider made of its adapter and of what all have in common: slots, retries, the idle limit, history that fits. */
import { checkObserver } from '../../arguments.js';
import { StompError } from '../../errors.js';
import type { AnswerSink, ProviderAdapter } from './adapter.js';
import { withIdleLimit } from './idle-limit.js';
import type { Provider, ProviderAnswer, ProviderEvent, ProviderRequest } from './provider.js';
import { type RetryClock, withRetries } from './retry.js';
import { Slots } from './slots.js';
import { fitHistory } from './trim.js';

export interface ProviderLimits {
  readonly maxConcurrent: number;
  /** Longest time in which nothing comes; 0: no limit. */
  readonly idleMs: number;
  readonly tries: number;
  readonly longestWaitMs: number;
}

export class AdaptedProvider implements Provider {
  readonly name: string;
  readonly maxConcurrent: number;
  readonly #adapter: ProviderAdapter;
  readonly #limits: ProviderLimits;
  readonly #clock: RetryClock;
  readonly #slots: Slots;
  readonly #closing = new AbortController();
  #closed: Promise<void> | undefined;

  constructor(name: string, adapter: ProviderAdapter, limits: ProviderLimits, clock: RetryClock) {
    this.name = name;
    this.maxConcurrent = limits.maxConcurrent;
    this.#adapter = adapter;
    this.#limits = limits;
    this.#clock = clock;
    this.#slots = new Slots(limits.maxConcurrent);
  }

  get defaultModel(): string {
    return this.#adapter.defaultModel;
  }

  get takesTools(): boolean {
    return this.#adapter.takesTools ?? true;
  }

  historyTokens(request: Pick<ProviderRequest, 'model' | 'maxTokens'>): Promise<number> {
    return this.#adapter.historyTokens(request);
  }

  countTokens(request: Omit<ProviderRequest, 'signal'>): Promise<number> {
    return this.#adapter.countTokens(request);
  }

  async send(request: ProviderRequest, onEvent: (event: ProviderEvent) => void): Promise<ProviderAnswer> {
    const signal = AbortSignal.any([request.signal, this.#closing.signal]);
    const tell = checkObserver('onEvent', onEvent) ?? (() => undefined);
    const release = await this.#slots.take(signal);
    try {
      return await withRetries(
        () => this.#attempt({ ...request, signal }, tell),
        (notice) => tell({ type: 'retry', ...notice }),
        signal,
        {
          ...this.#limits,
          provider: this.name,
          clock: this.#clock,
          redact: (text) => this.#adapter.redact(text),
        },
      );
    } finally {
      release();
    }
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    const message = `The provider ${this.name} is being closed. Open it again to ask it.`;
    this.#closing.abort(new StompError('SHUTTING_DOWN', message));
    await this.#slots.idle();
    await this.#adapter.close();
  }

  #attempt(request: ProviderRequest, tell: (event: ProviderEvent) => void): Promise<ProviderAnswer> {
    return withIdleLimit(this.#limits.idleMs, request.signal, async ({ signal, alive, isOver }) => {
      const pass = (event: ProviderEvent): void => {
        alive();
        // An attempt that was given up may speak on; its words are no part of the next one's.
        if (!isOver()) tell(event);
      };
      const sink: AnswerSink = {
        text: (text) => pass({ type: 'text', text }),
        reasoning: (text) => pass({ type: 'reasoning', text }),
        alive,
      };
      const messages = await fitHistory(this.#adapter, request);
      return this.#adapter.ask({ ...request, messages, signal }, sink);
    });
  }
}
