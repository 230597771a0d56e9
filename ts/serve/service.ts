/**
 * What the routes share: the engine while it is there, the state of the server, and the turns that run.
 * One per server; main thread only.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { ServerResponse } from 'node:http';
import type { Engine } from '../engine/engine.js';
import type { Lease } from '../engine/leases.js';
import type { AgentInfo, EngineInfo, EngineStats } from '../engine/types.js';
import { StompError } from '../errors.js';
import type { RateLimits } from './access/rate-limits.js';
import { AnonymousAgents } from './anonymous.js';
import type { EngineSource } from './engine-source.js';
import { InFlight } from './in-flight.js';
import type { Metrics } from './metrics.js';
import type { DocumentParts } from './openapi/document.js';

/** What the server uses of an engine. */
export interface ServedEngine
  extends Pick<
    Engine,
    | 'info'
    | 'tokenizer'
    | 'agent'
    | 'agents'
    | 'agentIds'
    | 'create'
    | 'chat'
    | 'complete'
    | 'countTokens'
    | 'stats'
    | 'remove'
    | 'evict'
  > {
  /** How long it has been at one step, when that is too long; else 0. */
  readonly stalledMs?: number;
  /** Drops the caches that nobody uses now; with `disk` the agents' files as well. */
  clearCaches?(options: { disk?: boolean }): Promise<void>;
  /** How long an idle engine waits for more requests before it begins, 0 to 1000. */
  setBatchWindow?(ms: number): void | Promise<void>;
  /** Of requests that name no seed; undefined: random. */
  setSeed?(seed: number | undefined): void | Promise<void>;
}

/**
 * Where a server is in its life. Only `ready` ones take requests; those that come while `swapping` wait.
 * `draining`: it shuts down; `unloaded`: it has no model until it is told to load one.
 */
export type Phase = 'loading' | 'ready' | 'failed' | 'draining' | 'swapping' | 'unloaded';

/** The model under the names that requests may use. */
export interface ServedModel {
  readonly id: string;
  readonly aliases: readonly string[];
  /** Unix time in seconds. */
  readonly created: number;
}

/** What a request that uses the engine keeps to its end, whatever becomes of the model meanwhile. */
interface Hold {
  readonly lease: Lease<ServedEngine>;
  readonly model: ServedModel;
}

export class Service {
  readonly metrics: Metrics;
  /** How often an agent may ask. */
  readonly rates: RateLimits;
  readonly source: EngineSource;
  readonly anonymous = new AnonymousAgents();
  /** What the routes of this server are, for its OpenAPI document; whoever adds routes adds to it. */
  readonly described: DocumentParts[] = [];
  /** Requests whose response is not yet sent to its end. */
  readonly responses = new InFlight();
  readonly #running = new InFlight();
  readonly #turns = new Set<AbortController>();
  readonly #entering = new Set<AbortController>();
  readonly #holds = new AsyncLocalStorage<Hold>();
  readonly #shuttingDown = new AbortController();
  readonly #stop: () => void;
  /** Of the model that was there last. */
  #info: EngineInfo | undefined;
  /** Of any model, beside its own. */
  readonly #aliases: readonly string[];
  #draining = false;

  constructor(source: EngineSource, metrics: Metrics, rates: RateLimits, aliases: readonly string[] = []) {
    this.source = source;
    this.metrics = metrics;
    this.rates = rates;
    this.#aliases = aliases;
    this.#info = source.engine?.info;
    this.#stop = source.subscribe((event) => {
      if (event.type === 'state') this.#info = source.engine?.info ?? this.#info;
      else if (
        event.change.changed &&
        event.change.model !== undefined &&
        event.change.previous !== undefined
      )
        metrics.swapped(event.change.totalMs / 1000);
    });
  }

  /** Follows the models no longer, and measures nothing more. */
  close(): void {
    this.#stop();
    this.metrics.close();
  }

  /** That of the request that asks; elsewhere the present one, nameless if there is none. */
  get model(): ServedModel {
    const hold = this.#holds.getStore();
    if (hold) return hold.model;
    const { model = '', aliases, loadedAtMs = 0 } = this.source.current();
    return { id: model, aliases: [...aliases, ...this.#aliases], created: Math.floor(loadedAtMs / 1000) };
  }

  get phase(): Phase {
    if (this.#draining) return 'draining';
    const { state, awaited, asleep } = this.source.current();
    // A model that was unloaded for want of requests comes back with the next one.
    if (state === 'ready' || asleep) return 'ready';
    if (awaited) return 'swapping';
    return state === 'draining' ? 'unloaded' : state;
  }

  /** Why loading failed, in the phase `failed`. */
  get failure(): StompError | undefined {
    return this.source.current().failure;
  }

  /** The engine, whatever the server's phase; undefined while no model is ready. */
  get loaded(): ServedEngine | undefined {
    return this.source.engine;
  }

  /** Whether a model has been ready at some time. */
  get started(): boolean {
    return this.#info !== undefined;
  }

  /** Aborted, with SHUTTING_DOWN, as soon as the server shuts down: for what only waits. */
  get shutdown(): AbortSignal {
    return this.#shuttingDown.signal;
  }

  get runningTurns(): number {
    return this.#running.count;
  }

  /**
   * The engine that the request holds; for those that hold none, the present one.
   * @throws StompError ENGINE_UNAVAILABLE, MODEL_SWAP, SHUTTING_DOWN.
   */
  engine(): ServedEngine {
    this.refuseWhileDraining();
    const engine = this.#holds.getStore()?.lease.engine ?? this.source.engine;
    if (engine) return engine;
    throw this.source.unavailable();
  }

  /**
   * Facts of the model that is served, also while it is unloaded for want of requests.
   * @throws StompError as `engine`
   */
  info(): EngineInfo {
    if (this.#info && this.source.current().asleep) return this.#info;
    return this.engine().info;
  }

  /** Whether the agents can be listed without waiting for the model, or waking one that sleeps. */
  get knowsAgents(): boolean {
    return this.loaded !== undefined || this.source.sleepingAgents !== undefined;
  }

  /**
   * The agents in memory and on disk, also while the model sleeps.
   * @throws StompError as `engine`
   */
  async agents(): Promise<readonly AgentInfo[]> {
    this.refuseWhileDraining();
    const asleep = this.source.sleepingAgents;
    if (asleep) return asleep;
    const engine = this.engine();
    try {
      return await engine.agents();
    } catch (error) {
      // It went while it was asked.
      if (this.#holds.getStore() || this.loaded === engine) throw error;
      return this.source.sleepingAgents ?? Promise.reject(this.source.unavailable());
    }
  }

  /** Figures of the engine; undefined while there is none. */
  async stats(): Promise<EngineStats | undefined> {
    const engine = this.loaded;
    try {
      return await engine?.stats();
    } catch (error) {
      // It went while it was asked.
      if (this.loaded !== engine) return undefined;
      throw error;
    }
  }

  /** @throws StompError SHUTTING_DOWN */
  refuseWhileDraining(): void {
    if (!this.#draining) return;
    throw shuttingDown();
  }

  /**
   * Holds the engine for a request until its response is sent, or its client has gone. Waits while the model is
   * exchanged.
   * @returns runs the rest of the request, which then finds the engine that is held.
   * @throws StompError ENGINE_UNAVAILABLE, MODEL_SWAP, SHUTTING_DOWN, CANCELLED
   */
  async hold(response: ServerResponse): Promise<(work: () => void) => void> {
    const waiting = new AbortController();
    const onClose = (): void => waiting.abort(clientGone());
    if (response.destroyed) throw clientGone();
    response.once('close', onClose);
    this.#entering.add(waiting);
    try {
      const lease = await this.source.acquire(waiting.signal);
      response.once('close', lease.release);
      if (response.destroyed) lease.release();
      const hold = { lease, model: this.model };
      return (work) => this.#holds.run(hold, work);
    } finally {
      this.#entering.delete(waiting);
      response.off('close', onClose);
    }
  }

  /** Registers a turn: it is aborted when its client goes, its model goes, or draining takes too long. */
  beginTurn(response: ServerResponse): AbortController {
    const turn = new AbortController();
    this.#turns.add(turn);
    this.#running.begin();
    if (response.destroyed) turn.abort(clientGone());
    response.once('close', () => {
      if (!response.writableFinished) turn.abort(clientGone());
    });
    const signal = this.#holds.getStore()?.lease.signal;
    // The agent was looked up meanwhile, and the model may have gone.
    if (signal?.aborted) turn.abort(signal.reason);
    signal?.addEventListener('abort', () => turn.abort(signal.reason), { once: true });
    return turn;
  }

  /** REQUIRES: `turn` came from `beginTurn`; called once, however the turn ended. */
  endTurn(turn: AbortController): void {
    this.#turns.delete(turn);
    this.#running.end();
  }

  /** Refuses new requests from now on, and those that wait. Resolves when no turn runs. */
  drain(): Promise<void> {
    this.#draining = true;
    this.#shuttingDown.abort(shuttingDown());
    for (const waiting of this.#entering) waiting.abort(shuttingDown());
    return this.#running.idle();
  }

  /** Cancels the turns that still run. */
  cancelTurns(): void {
    const reason = new StompError('SHUTTING_DOWN', 'The server shut down before the answer was complete.');
    for (const turn of this.#turns) turn.abort(reason);
  }
}

function shuttingDown(): StompError {
  return new StompError('SHUTTING_DOWN', 'The server is shutting down; try again once it is back.', {
    fields: { phase: 'draining' },
  });
}

function clientGone(): StompError {
  return new StompError('CANCELLED', 'The client went away.');
}
