/**
 * Token buckets, one for each name: a name may spend a minute's worth at once, and gets it back over a minute.
 * Main thread only. Bounded: the name that was seen longest ago is forgotten first.
 */

/** What is left to a name after it has asked. */
export interface Allowance {
  readonly limit: number;
  /** Whole requests that are left. */
  readonly remaining: number;
  /** Until everything is there again. */
  readonly resetMs: number;
  /** Until the next request would pass; 0 when this one did. */
  readonly retryAfterMs: number;
}

interface Bucket {
  tokens: number;
  /** Of the clock. */
  filledAt: number;
}

export interface RateLimiterOptions {
  perMinute: number;
  /** Milliseconds, never going back. @default performance.now */
  now?: (() => number) | undefined;
  /** Names that are remembered. @default 10000 */
  maxNames?: number;
}

const MINUTE_MS = 60_000;
/** Of sums of many gains: whoever waits as long as told must pass. */
const ROUNDING = 1e-6;

export class RateLimiter {
  readonly #perMinute: number;
  readonly #now: () => number;
  readonly #maxNames: number;
  /** In order of use. */
  readonly #buckets = new Map<string, Bucket>();

  /** REQUIRES: `perMinute` and `maxNames` are at least 1. */
  constructor({ perMinute, now = () => performance.now(), maxNames = 10_000 }: RateLimiterOptions) {
    this.#perMinute = perMinute;
    this.#now = now;
    this.#maxNames = maxNames;
  }

  /** Names that are remembered now. */
  get names(): number {
    return this.#buckets.size;
  }

  /** One request of `name`. One that does not pass costs nothing. */
  take(name: string): Allowance {
    const bucket = this.#filled(name);
    const passes = bucket.tokens >= 1 - ROUNDING;
    if (passes) bucket.tokens = Math.max(0, bucket.tokens - 1);
    return {
      limit: this.#perMinute,
      remaining: Math.floor(bucket.tokens),
      resetMs: this.#waitMs(this.#perMinute - bucket.tokens),
      retryAfterMs: passes ? 0 : Math.max(1, this.#waitMs(1 - bucket.tokens)),
    };
  }

  #filled(name: string): Bucket {
    const now = this.#now();
    const bucket = this.#buckets.get(name) ?? { tokens: this.#perMinute, filledAt: now };
    const gained = ((now - bucket.filledAt) * this.#perMinute) / MINUTE_MS;
    bucket.tokens = Math.min(this.#perMinute, bucket.tokens + gained);
    bucket.filledAt = now;
    this.#buckets.delete(name);
    this.#buckets.set(name, bucket);
    for (const oldest of this.#buckets.keys()) {
      if (this.#buckets.size <= this.#maxNames) break;
      this.#buckets.delete(oldest);
    }
    return bucket;
  }

  #waitMs(tokens: number): number {
    return Math.ceil((tokens * MINUTE_MS) / this.#perMinute);
  }
}
