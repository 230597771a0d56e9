/** What ends a call before it is done: its caller, its lease, or its own length. */
import { StompError } from '../errors.js';

export interface CutSources {
  /** Of the lease; its reason is thrown as it is. */
  readonly lease: AbortSignal;
  /** Of the caller. */
  readonly caller: AbortSignal | undefined;
}

export class Cut {
  readonly #abort = new AbortController();
  readonly #lease: AbortSignal;
  readonly #caller: AbortSignal | undefined;
  #limit:
    | { readonly at: number; readonly timer: NodeJS.Timeout; readonly error: () => StompError }
    | undefined;

  constructor({ lease, caller }: CutSources) {
    this.#lease = lease;
    this.#caller = caller;
    lease.addEventListener('abort', this.#look);
    caller?.addEventListener('abort', this.#look);
    this.#look();
  }

  /** Aborts when the call is cut, with the error as the reason. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Lets the work take so long from now. */
  limit(ms: number, error: () => StompError): void {
    this.unlimit();
    const timer = setTimeout(() => this.#abort.abort(error()), ms);
    this.#limit = { at: performance.now() + ms, timer, error };
  }

  unlimit(): void {
    clearTimeout(this.#limit?.timer);
    this.#limit = undefined;
  }

  /** @throws why the call was cut, also when timers have had no chance to say so. */
  check(): void {
    if (this.#limit && performance.now() > this.#limit.at) this.#abort.abort(this.#limit.error());
    this.signal.throwIfAborted();
  }

  /** @throws why the call was cut, as soon as it is; the work may then still be going on. */
  race<T>(work: Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const stop = () => reject(this.signal.reason);
      if (this.signal.aborted) stop();
      this.signal.addEventListener('abort', stop, { once: true });
      work.then(resolve, reject).finally(() => this.signal.removeEventListener('abort', stop));
    });
  }

  /** Forgets the caller's signal and the lease's, which may live on. */
  close(): void {
    this.unlimit();
    this.#lease.removeEventListener('abort', this.#look);
    this.#caller?.removeEventListener('abort', this.#look);
  }

  readonly #look = () => {
    if (this.#lease.aborted) this.#abort.abort(this.#lease.reason);
    if (this.#caller?.aborted) this.#abort.abort(cancelled(this.#caller.reason));
  };
}

function cancelled(cause: unknown): StompError {
  return new StompError('CANCELLED', 'The call was cancelled; nothing of it was applied.', { cause });
}
