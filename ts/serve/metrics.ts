/**
 * The Prometheus metrics of one server, in a registry of its own. Names are a contract. What the engine
 * counts is read from `stats()` at each scrape; what only the server sees is counted as it happens.
 */
import { type IntervalHistogram, monitorEventLoopDelay, performance } from 'node:perf_hooks';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { EngineStats, Usage } from '../engine/types.js';
import { RateWindow } from './rate.js';

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];
const TOKEN_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56];

export class Metrics {
  /** For metrics that others collect. */
  readonly registry = new Registry();
  readonly #rate: RateWindow;
  readonly #requests: Counter<'model' | 'route' | 'status'>;
  readonly #duration: Histogram;
  readonly #firstToken: Histogram;
  readonly #interToken: Histogram;
  readonly #tokens: Counter;
  readonly #hits: Counter;
  readonly #misses: Counter;
  readonly #swaps: Histogram;
  readonly #engine: EngineMetrics;
  readonly #loop: LoopDelay;

  /** @param now milliseconds, never going back. */
  constructor(now: () => number = () => performance.now()) {
    const registers = [this.registry];
    this.#rate = new RateWindow(now);
    this.#requests = new Counter({
      name: 'stomp_request_total',
      help: 'Requests by HTTP status; 499 when the client went away first',
      labelNames: ['model', 'route', 'status'],
      registers,
    });
    this.#duration = histogram(
      'stomp_request_duration_seconds',
      'Generating requests, start to end',
      registers,
    );
    this.#firstToken = histogram(
      'stomp_time_to_first_token_seconds',
      'From a request to its first token, waiting included',
      registers,
    );
    this.#interToken = new Histogram({
      name: 'stomp_inter_token_latency_seconds',
      help: 'Between two tokens of one answer',
      buckets: TOKEN_SECONDS,
      registers,
    });
    this.#tokens = new Counter({
      name: 'stomp_tokens_generated_total',
      help: 'Tokens of answers',
      registers,
    });
    this.#hits = new Counter({
      name: 'stomp_cache_hit_total',
      help: 'Requests that found at least one cached token',
      registers,
    });
    this.#misses = new Counter({
      name: 'stomp_cache_miss_total',
      help: 'Requests that found no cached token',
      registers,
    });
    this.#swaps = histogram(
      'stomp_model_swap_duration_seconds',
      'One model taking the place of another: how long none was ready',
      registers,
    );
    this.#engine = new EngineMetrics(registers, this.#rate);
    this.#loop = new LoopDelay(registers);
  }

  /** Measures no longer. */
  close(): void {
    this.#loop.close();
  }

  get contentType(): string {
    return this.registry.contentType;
  }

  request(model: string, route: string, status: number): void {
    this.#requests.inc({ model, route, status: String(status) });
  }

  turnEnded(seconds: number): void {
    this.#duration.observe(seconds);
  }

  /** Tokens that arrived `seconds` after the ones before them; undefined for the first. */
  tokensArrived(count: number, seconds: number | undefined): void {
    this.#tokens.inc(count);
    this.#rate.add(count);
    if (seconds === undefined || count === 0) return;
    for (let i = 0; i < count; i++) this.#interToken.observe(seconds / count);
  }

  usage(usage: Usage): void {
    if (usage.generatedTokens > 0) this.#firstToken.observe(usage.firstTokenMs / 1000);
    (usage.cachedTokens > 0 ? this.#hits : this.#misses).inc();
  }

  /** A model took the place of another. @param seconds without a model that was ready */
  swapped(seconds: number): void {
    this.#swaps.observe(seconds);
  }

  /**
   * @param stats undefined while no engine is loaded: what only an engine has is then 0 or left out
   * @param engine whose figures they are; those of another one count from 0
   */
  async scrape(stats: EngineStats | undefined, engine?: object): Promise<string> {
    if (stats) this.#engine.update(stats, engine);
    else this.#engine.clear();
    return this.registry.metrics();
  }
}

/** A timer at this interval measures the event loop. */
const LOOP_RESOLUTION_MS = 20;
const NOTHING = {
  evictionsHot: 0,
  demotions: 0,
  saves: 0,
  saveSeconds: 0,
  draftedTokens: 0,
  acceptedTokens: 0,
};

/** How late the event loop is, between one reading and the next. */
class LoopDelay {
  readonly #late: IntervalHistogram = monitorEventLoopDelay({ resolution: LOOP_RESOLUTION_MS });

  constructor(registers: Registry[]) {
    const late = this.#late;
    late.enable();
    new Gauge({
      name: 'stomp_event_loop_delay_seconds',
      help: 'How late the server turns to what has happened, since the last reading',
      labelNames: ['quantile'],
      registers,
      collect() {
        for (const percent of [50, 99])
          this.set({ quantile: String(percent / 100) }, delay(late.percentile(percent)));
        this.set({ quantile: '1' }, delay(late.max));
        late.reset();
      },
    });
  }

  close(): void {
    this.#late.disable();
  }
}

/** The monitor counts its own interval as well, and is at 0 until it has measured. */
function delay(nanoseconds: number): number {
  return Math.max(0, nanoseconds / 1e9 - LOOP_RESOLUTION_MS / 1000);
}

/** What is copied from the engine's own figures. */
class EngineMetrics {
  readonly #rate: RateWindow;
  readonly #queue: Gauge;
  readonly #batch: Gauge;
  readonly #agents: Gauge;
  readonly #tokensPerSecond: Gauge;
  readonly #memory: Gauge<'kind'>;
  readonly #pool: Gauge<'group'>;
  readonly #evictions: Counter<'tier'>;
  readonly #drafts: Counter<'outcome'>;
  readonly #persist: Histogram;
  #engine: object | undefined;
  #seen = NOTHING;

  constructor(registers: Registry[], rate: RateWindow) {
    const gauge = (name: string, help: string): Gauge => new Gauge({ name, help, registers });
    this.#rate = rate;
    this.#queue = gauge('stomp_request_queue_depth', 'Requests waiting for a place in the batch');
    this.#batch = gauge('stomp_batch_size', 'Sequences in the batch now');
    this.#agents = gauge('stomp_agents_active', 'Agents whose cache is in memory');
    this.#tokensPerSecond = gauge(
      'stomp_tokens_per_second',
      'Tokens of answers, mean of the last ten seconds',
    );
    this.#memory = new Gauge({
      name: 'stomp_memory_used_bytes',
      help: 'Memory of the engine: weights, pool (reserved for caches), scratch; and of the whole process',
      labelNames: ['kind'],
      registers,
    });
    this.#pool = new Gauge({
      name: 'stomp_pool_utilization_ratio',
      help: 'Blocks that are not free, of all, per layer group',
      labelNames: ['group'],
      registers,
    });
    this.#evictions = new Counter({
      name: 'stomp_eviction_total',
      help: 'Agents moved out of a tier',
      labelNames: ['tier'],
      registers,
    });
    this.#drafts = new Counter({
      name: 'stomp_drafted_tokens_total',
      help: 'Tokens computed ahead on speculation, by whether they were what the answer said',
      labelNames: ['outcome'],
      registers,
    });
    this.#persist = histogram(
      'stomp_cache_persist_duration_seconds',
      'Writing one agent to disk; those between two readings count with their mean',
      registers,
    );
  }

  update(stats: EngineStats, engine: object | undefined): void {
    if (engine !== this.#engine) this.#seen = NOTHING;
    this.#engine = engine;
    this.#queue.set(stats.waiting);
    this.#batch.set(stats.active);
    this.#agents.set(stats.agentsHot);
    this.#memory.set({ kind: 'weights' }, stats.memory.weightsBytes);
    this.#memory.set({ kind: 'pool' }, stats.memory.poolBytes);
    this.#memory.set({ kind: 'scratch' }, stats.memory.scratchBytes);
    this.#process();
    for (const [group, { capacity, free }] of stats.pool.entries()) {
      this.#pool.set({ group: String(group) }, capacity === 0 ? 0 : 1 - free / capacity);
    }
    this.#evictions.inc({ tier: 'hot' }, stats.evictionsHot - this.#seen.evictionsHot);
    this.#evictions.inc({ tier: 'warm' }, stats.demotions - this.#seen.demotions);
    this.#draftsSince(stats);
    this.#savesSince(stats);
    this.#seen = stats;
  }

  /** There is no engine. Counters stay, for they only grow. */
  clear(): void {
    for (const gauge of [this.#queue, this.#batch, this.#agents, this.#memory, this.#pool]) gauge.reset();
    this.#process();
  }

  #process(): void {
    this.#tokensPerSecond.set(this.#rate.perSecond());
    this.#memory.set({ kind: 'process' }, process.memoryUsage.rss());
  }

  #draftsSince({ draftedTokens, acceptedTokens }: EngineStats): void {
    const drafted = draftedTokens - this.#seen.draftedTokens;
    const accepted = acceptedTokens - this.#seen.acceptedTokens;
    this.#drafts.inc({ outcome: 'accepted' }, accepted);
    this.#drafts.inc({ outcome: 'rejected' }, drafted - accepted);
  }

  /** The engine tells totals: sum and count are exact, the buckets hold means. */
  #savesSince(stats: EngineStats): void {
    const count = stats.saves - this.#seen.saves;
    const seconds = stats.saveSeconds - this.#seen.saveSeconds;
    for (let i = 0; i < count; i++) this.#persist.observe(seconds / count);
  }
}

function histogram(name: string, help: string, registers: Registry[]): Histogram {
  return new Histogram({ name, help, buckets: SECONDS, registers });
}

// Whoever collects waits for ten seconds or so, and then has nothing at all.
const collectMs = 1000;

/** A figure that has to be asked for, unless it takes too long. @throws what the work throws, or that it took too long */
export async function soon<T>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${collectMs} ms`)), collectMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
