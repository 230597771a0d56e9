/** Requests that wait for something, not too many and not too long. Main thread only. */
import { setTimeout as delay } from 'node:timers/promises';
import { StompError } from '../errors.js';
import { abortError } from './generation.js';

export class WaitingRoom {
  readonly #seats: number;
  #count = 0;

  constructor({ maxWaiting }: { readonly maxWaiting: number }) {
    this.#seats = maxWaiting;
  }

  get count(): number {
    return this.#count;
  }

  /**
   * @param event never rejects
   * @returns whether it came; false too, and at once, when the room is full
   * @throws StompError the signal's reason, or CANCELLED
   */
  async wait(event: Promise<void>, ms: number, signal: AbortSignal | undefined): Promise<boolean> {
    if (this.#count >= this.#seats || ms <= 0) return false;
    const end = new AbortController();
    const left = signal ? AbortSignal.any([signal, end.signal]) : end.signal;
    this.#count++;
    try {
      const came = event.then(() => true);
      return await Promise.race([came, delay(ms, false, { signal: left })]);
    } catch (error) {
      if (!signal?.aborted) throw error;
      throw signal.reason instanceof StompError ? signal.reason : abortError(signal);
    } finally {
      end.abort();
      this.#count--;
    }
  }
}
