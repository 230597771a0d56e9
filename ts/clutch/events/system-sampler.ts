/** Once a second: how much this process uses, and how late it is. */
import { createHistogram } from 'node:perf_hooks';
import type { SystemSample } from './state.js';

export interface SystemSamplerOptions {
  /** Events that wait to be recorded. */
  readonly depth: () => number;
  /** @default 1000 */
  readonly everyMs?: number | undefined;
  /** What listeners throw. */
  readonly onWarning: (error: unknown) => void;
}

/**
 * The loop is looked at this often. Node's own monitor would not do: once it is reset it leaves out the time until it
 * looks next, and with it a delay that begins then.
 */
const resolutionMs = 10;

export class SystemSampler {
  readonly #options: SystemSamplerOptions;
  /** In nanoseconds. */
  readonly #delays = createHistogram();
  readonly #listeners = new Set<(sample: SystemSample) => void>();
  readonly #timer: NodeJS.Timeout;
  readonly #looks: NodeJS.Timeout;
  #looked = performance.now();
  #usage = process.cpuUsage();
  #since = performance.now();
  #last: SystemSample;

  /** Begins at once; does not keep the process alive. */
  constructor(options: SystemSamplerOptions) {
    this.#options = options;
    this.#last = this.#sample();
    this.#looks = setInterval(() => this.#look(), resolutionMs).unref();
    this.#timer = setInterval(() => this.#tell(), options.everyMs ?? 1000).unref();
  }

  get last(): SystemSample {
    return this.#last;
  }

  /** Calls with each sample. @returns what ends it */
  on(listener: (sample: SystemSample) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    clearInterval(this.#timer);
    clearInterval(this.#looks);
    this.#listeners.clear();
  }

  #tell(): void {
    this.#last = this.#sample();
    for (const listener of [...this.#listeners]) {
      try {
        listener(this.#last);
      } catch (error) {
        this.#options.onWarning(error);
      }
    }
  }

  #sample(): SystemSample {
    const now = performance.now();
    const usage = process.cpuUsage();
    const usedMs = (usage.user + usage.system - this.#usage.user - this.#usage.system) / 1000;
    const elapsedMs = now - this.#since;
    this.#usage = usage;
    this.#since = now;
    const { rss, heapUsed } = process.memoryUsage();
    return {
      at: Date.now(),
      cpu_percent: elapsedMs > 0 ? rounded((100 * usedMs) / elapsedMs) : 0,
      rss_bytes: rss,
      heap_bytes: heapUsed,
      loop_delay_p99_ms: this.#delay(),
      queue_depth: this.#options.depth(),
    };
  }

  #look(): void {
    const now = performance.now();
    const lateMs = now - this.#looked - resolutionMs;
    this.#looked = now;
    this.#delays.record(Math.max(1, Math.round(lateMs * 1e6)));
  }

  #delay(): number {
    this.#look();
    const p99 = this.#delays.percentile(99) / 1e6;
    this.#delays.reset();
    return rounded(p99);
  }
}

function rounded(value: number): number {
  return Math.round(value * 10) / 10;
}
