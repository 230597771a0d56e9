/**
 * Notices an engine whose thread hangs: in a driver, or in a step that never ends. A thread cannot be ended from
 * outside, so it is reported; its requests wait. Main thread only.
 */
import { StompError } from '../errors.js';
import type { NativeEngine } from '../native.js';

export interface WatchdogOptions {
  engine: Pick<NativeEngine, 'silentMs'>;
  /** Longer than this no step takes; 0: never mind. */
  limitMs: number;
  onWarning: (warning: StompError) => void;
}

export class Watchdog {
  readonly #options: WatchdogOptions;
  readonly #timer: NodeJS.Timeout | undefined;
  #told = false;

  constructor(options: WatchdogOptions) {
    this.#options = options;
    if (options.limitMs > 0) this.#timer = this.#begin(options.limitMs / 4);
  }

  /** An engine that nobody holds any more may go: the timer does not keep it. */
  #begin(everyMs: number): NodeJS.Timeout {
    const self = new WeakRef<Watchdog>(this);
    const timer = setInterval(() => {
      const dog = self.deref();
      if (dog) dog.#look();
      else clearInterval(timer);
    }, everyMs);
    return timer.unref();
  }

  /** How long the engine has been at one step, once that is too long; else 0. */
  get stalledMs(): number {
    const { engine, limitMs } = this.#options;
    const silent = limitMs > 0 ? engine.silentMs() : 0;
    return silent > limitMs ? silent : 0;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Tells of each stall once. */
  #look(): void {
    const stalledMs = this.stalledMs;
    const isNew = stalledMs > 0 && !this.#told;
    this.#told = stalledMs > 0;
    if (!isNew) return;
    const seconds = Math.round(stalledMs / 1000);
    this.#options.onWarning(
      new StompError(
        'ENGINE_STALLED',
        `The engine has been at one step for ${seconds} s and may hang; its requests wait. ` +
          'Restart the process if it does not get on, or raise --watchdog-seconds if steps take as long here.',
        { fields: { stalledMs: Math.round(stalledMs) } },
      ),
    );
  }
}
