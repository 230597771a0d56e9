/**
 * Which model is in memory, and how another takes its place: requests end, agents are saved, memory is given
 * back, then the next one is loaded. One model at a time. Main thread only.
 */
import { checkObserver } from '../arguments.js';
import { StompError, toStompError } from '../errors.js';
import type { Engine } from './engine.js';
import { Drainer, type Farewell, lastLook } from './farewell.js';
import { type Lease, Leased } from './leases.js';
import { absence, busy, closedError, goodbye, notReplaced } from './model-errors.js';
import {
  type ModelChange,
  type ModelEvent,
  type ModelState,
  type ModelStatus,
  nothingChanged,
} from './model-status.js';
import { type AvailableModel, listModels } from './models/inventory.js';
import {
  checkRegistryOptions,
  type FullRegistryOptions,
  type ModelRegistryOptions,
  type RegistryEngine,
  type Target,
  targetOf,
} from './registry-options.js';
import type { AgentInfo, EngineOptions, LoadProgress } from './types.js';
import { WaitingRoom } from './waiting-room.js';

/** A load, unload or swap under way. */
interface Change {
  /** By a caller, not by a request or the want of one. */
  readonly asked: boolean;
  /** Whether requests wait for its end: there is reason to think that a model is there then. */
  readonly awaited: boolean;
  /** Resolves when it is over, however it ended. */
  readonly settled: Promise<void>;
}

interface Serving<E> {
  readonly target: Target;
  readonly leased: Leased<E>;
  readonly loadedAtMs: number;
}

/**
 * The models of a server: one in memory, others that can take its place. Requests take a lease on the engine;
 * a swap waits for them, saves every agent, frees the memory and only then loads the next model. If that fails,
 * the model before it comes back.
 */
export class ModelRegistry<E extends RegistryEngine = Engine> {
  readonly #options: FullRegistryOptions<E>;
  readonly #drainer: Drainer;
  readonly #waiting: WaitingRoom;
  readonly #listeners = new Set<(event: ModelEvent) => void>();
  readonly #stop = new AbortController();
  #state: ModelState = 'unloaded';
  #serving: Serving<E> | undefined;
  /** Of the state: the one that is loaded, on its way, failed or asleep. */
  #target: Target | undefined;
  #next: Target | undefined;
  #change: Change | undefined;
  #progress: LoadProgress | undefined;
  #failure: StompError | undefined;
  #asleep = false;
  #left: readonly AgentInfo[] | undefined;
  #idleTimer: NodeJS.Timeout | undefined;
  #closed: Promise<void> | undefined;

  /** Loads nothing yet. @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD */
  constructor(options: ModelRegistryOptions<E> = {}) {
    this.#options = checkRegistryOptions(options);
    this.#drainer = new Drainer(this.#options, this.#stop.signal);
    this.#waiting = new WaitingRoom(this.#options);
  }

  /** The model as it is now. */
  current(): ModelStatus {
    return {
      state: this.#state,
      model: this.#target?.id,
      aliases: this.#target?.aliases ?? [],
      next: this.#next?.id,
      awaited: this.#change?.awaited ?? false,
      asleep: this.#asleep,
      progress: this.#progress,
      failure: this.#failure,
      loadedAtMs: this.#serving?.loadedAtMs,
      requests: this.#serving?.leased.count ?? 0,
      waiting: this.#waiting.count,
    };
  }

  /** The engine, if it is loaded and stays; without a lease it may go at any time. */
  get engine(): E | undefined {
    return this.#state === 'ready' ? this.#serving?.leased.engine : undefined;
  }

  /** The agents of a model that sleeps, or falls asleep now; undefined when none does. */
  get sleepingAgents(): readonly AgentInfo[] | undefined {
    const isFalling = this.#state === 'draining' && !this.#change?.asked;
    return this.#asleep || isFalling ? this.#left : undefined;
  }

  /** The known models, and those in the folder of models. */
  available(): Promise<AvailableModel[]> {
    return listModels(this.#options.modelDir);
  }

  /**
   * Loads a model where there is none. One that is there already stays as it is.
   * @throws StompError INVALID_REQUEST when there is another, MODEL_SWAP when a change is under way, and what
   *   `Engine.load` throws.
   */
  async load(model: string, options: EngineOptions = {}): Promise<ModelChange> {
    const target = targetOf(model, options, this.#options.aliases);
    return this.#ask(false, () => {
      if (!this.#serving || this.#isServed(target)) return this.#replace(target);
      const { id } = this.#serving.target;
      const message = `${id} is loaded, and there is room for one model; swap it for ${target.id}, or unload it first.`;
      throw new StompError('INVALID_REQUEST', message, { fields: { field: 'model', value: target.id } });
    });
  }

  /**
   * Saves every agent and frees the memory. Running requests end first, or are cancelled after the time-out.
   * @throws StompError MODEL_SWAP when a change is under way.
   */
  unload(): Promise<ModelChange> {
    return this.#ask(false, async () => {
      const change = await this.#exchange(undefined);
      this.#asleep = false;
      this.#enter('unloaded', undefined);
      return change;
    });
  }

  /**
   * Puts another model in the place of the one that is loaded. Requests wait meanwhile. A model that is there
   * already stays as it is. If the new one cannot be loaded, the old one is loaded again and the call rejects.
   * @throws StompError MODEL_SWAP when a change is under way, and what `Engine.load` throws; `fields.restored` names
   *   the model that serves again.
   */
  async swap(model: string, options: EngineOptions = {}): Promise<ModelChange> {
    const target = targetOf(model, options, this.#options.aliases);
    return this.#ask(true, () => this.#replace(target));
  }

  /**
   * The engine, for one request. Waits while a model is exchanged; loads one that was unloaded for want of requests.
   * @throws StompError MODEL_SWAP when that takes too long, ENGINE_UNAVAILABLE when there is no model to wait for,
   *   SHUTTING_DOWN, CANCELLED by `signal`.
   */
  async acquire(signal?: AbortSignal): Promise<Lease<E>> {
    const endMs = performance.now() + this.#options.waitMs;
    for (;;) {
      const lease = this.#take();
      if (lease) return lease;
      const change = this.#change ?? this.#wake();
      if (!change?.awaited) throw this.unavailable();
      const isOver = await this.#waiting.wait(change.settled, endMs - performance.now(), signal);
      if (!isOver || this.#state === 'failed') throw this.unavailable();
    }
  }

  /** Why there is no engine for a request now. */
  unavailable(): StompError {
    return this.#closed ? closedError() : absence(this.current());
  }

  /** @returns ends the subscription. */
  subscribe(listener: (event: ModelEvent) => void): () => void {
    const safe = checkObserver('listener', listener);
    if (!safe) throw new StompError('INVALID_REQUEST', 'listener must be a function.');
    this.#listeners.add(safe);
    return () => void this.#listeners.delete(safe);
  }

  /** Ends what is being loaded, saves every agent, frees the memory. For good. May be called again. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  /** `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    clearTimeout(this.#idleTimer);
    this.#stop.abort(new StompError('SHUTTING_DOWN', 'The models are being closed.'));
    await this.#change?.settled;
    const serving = this.#serving;
    this.#serving = undefined;
    this.#asleep = false;
    this.#enter('unloaded', undefined);
    await serving?.leased.engine.close();
  }

  #take(): Lease<E> | undefined {
    if (this.#state !== 'ready' || this.#closed) return undefined;
    clearTimeout(this.#idleTimer);
    return this.#serving?.leased.take();
  }

  #isServed(target: Target): boolean {
    const served = this.#serving?.target;
    if (!served || Object.keys(target.options).length > 0) return false;
    return [served.model, served.id, ...served.aliases].includes(target.model);
  }

  /** One change at a time: a second caller is refused; what a request set off is waited for. */
  async #ask(awaited: boolean, work: () => Promise<ModelChange>): Promise<ModelChange> {
    while (this.#change && !this.#change.asked) await this.#change.settled;
    if (this.#change || this.#closed) throw this.#closed ? closedError() : busy(this.current());
    return this.#run(true, this.#asleep || (awaited && this.#serving !== undefined), work);
  }

  async #run(asked: boolean, awaited: boolean, work: () => Promise<ModelChange>): Promise<ModelChange> {
    clearTimeout(this.#idleTimer);
    let settle!: () => void;
    this.#change = { asked, awaited, settled: new Promise<void>((resolve) => (settle = resolve)) };
    try {
      const change = await work();
      this.#tell({ type: 'changed', change });
      return change;
    } finally {
      this.#change = undefined;
      this.#next = undefined;
      this.#progress = undefined;
      settle();
      this.#awaitIdleness();
    }
  }

  /** A model that sleeps can be woken still when another cannot be had. */
  async #replace(target: Target): Promise<ModelChange> {
    const sleeping = this.#asleep ? this.#target : undefined;
    try {
      return await this.#exchange(target);
    } catch (error) {
      if (sleeping) this.#fallAsleep(sleeping);
      throw error;
    }
  }

  readonly #look = (engine: RegistryEngine): Promise<void> =>
    lastLook(engine, (agents) => (this.#left = agents)).catch(this.#warn);

  #fallAsleep(target: Target): void {
    this.#asleep = true;
    this.#enter('unloaded', target);
  }

  /** @param target undefined: nothing takes the place of what is loaded */
  async #exchange(target: Target | undefined): Promise<ModelChange> {
    const before = process.memoryUsage.rss();
    const previous = this.#serving?.target;
    if (target ? this.#isServed(target) : !previous) return nothingChanged(previous?.id, before);
    this.#next = target;
    if (target) await this.#prepare(target);
    const began = performance.now();
    this.#asleep = false;
    const farewell = await this.#putAway(target);
    const between = process.memoryUsage.rss();
    const loading = performance.now();
    if (target) await this.#bring(target).catch((error: unknown) => this.#restore(previous, target, error));
    const ended = performance.now();
    return {
      model: target?.id,
      previous: previous?.id,
      changed: true,
      ...farewell,
      loadMs: ended - loading,
      totalMs: ended - began,
      rssBytes: { before, between, after: process.memoryUsage.rss() },
    };
  }

  /** A model that cannot be had costs the one at work nothing. */
  async #prepare(target: Target): Promise<void> {
    if (!this.#serving) this.#enter('loading', target);
    try {
      await this.#options.prepare(target.model, {
        onProgress: (progress) => this.#progressed(target, progress),
        signal: this.#signalOf(target),
      });
    } catch (error) {
      throw this.#serving ? toStompError(error) : this.#failed(target, error);
    }
  }

  async #putAway(target: Target | undefined): Promise<Farewell> {
    const serving = this.#serving;
    if (!serving) return { drainMs: 0, closeMs: 0, cancelledRequests: 0, unsaved: undefined };
    this.#left = undefined;
    this.#enter('draining', serving.target);
    const reason = goodbye(serving.target.id, target?.id);
    const isSleep = !this.#change?.asked;
    const farewell = await this.#drainer.end(serving.leased, reason, isSleep ? this.#look : undefined);
    this.#serving = undefined;
    if (farewell.unsaved) this.#options.onWarning(farewell.unsaved);
    return farewell;
  }

  async #bring(target: Target): Promise<void> {
    this.#enter('loading', target);
    try {
      this.#stop.signal.throwIfAborted();
      const engine = await this.#options.load(target.model, {
        ...this.#options.engine,
        ...target.options,
        onProgress: (progress) => this.#progressed(target, progress),
        signal: this.#signalOf(target),
      });
      const leased = new Leased(engine, () => this.#awaitIdleness());
      this.#serving = { target: { ...target, signal: undefined }, leased, loadedAtMs: Date.now() };
      this.#enter('ready', target);
    } catch (error) {
      throw this.#failed(target, error);
    }
  }

  /** @throws StompError always: the change has failed, whatever serves now. */
  async #restore(previous: Target | undefined, target: Target, caught: unknown): Promise<never> {
    const error = toStompError(caught);
    if (!previous || this.#stop.signal.aborted) throw error;
    const second = await this.#bring(previous).then(() => undefined, toStompError);
    throw notReplaced({ model: target.id, previous: previous.id }, error, second);
  }

  #failed(target: Target, caught: unknown): StompError {
    const error = toStompError(caught);
    this.#failure = error;
    this.#enter('failed', target);
    return error;
  }

  #progressed(target: Target, progress: LoadProgress): void {
    this.#progress = progress;
    (target.options.onProgress ?? this.#options.engine.onProgress)?.(progress);
  }

  #signalOf({ signal }: Target): AbortSignal {
    return signal ? AbortSignal.any([signal, this.#stop.signal]) : this.#stop.signal;
  }

  #enter(state: ModelState, target: Target | undefined): void {
    this.#state = state;
    this.#target = target;
    this.#progress = undefined;
    if (state !== 'failed') this.#failure = undefined;
    this.#tell({ type: 'state', status: this.current() });
  }

  #tell(event: ModelEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  /** Begins to wait for the end of the model's time to live, if nothing is to be done. */
  #awaitIdleness(): void {
    clearTimeout(this.#idleTimer);
    const { idleTtlMs } = this.#options;
    if (idleTtlMs === 0 || this.#change || this.#state !== 'ready' || this.#closed) return;
    if (this.#serving?.leased.count !== 0) return;
    this.#idleTimer = setTimeout(() => this.#sleep(), idleTtlMs).unref();
  }

  #sleep(): void {
    const target = this.#serving?.target;
    if (!target || this.#change) return;
    this.#run(false, true, async () => {
      const change = await this.#exchange(undefined);
      this.#fallAsleep(target);
      return change;
    }).catch(this.#warn);
  }

  /** Loads the model that was unloaded for want of requests. */
  #wake(): Change | undefined {
    const target = this.#target;
    if (!this.#asleep || !target || this.#closed) return undefined;
    this.#run(false, true, async () => {
      try {
        return await this.#exchange(target);
      } catch (error) {
        // The next request tries again.
        this.#asleep = true;
        throw error;
      }
    }).catch(this.#warn);
    return this.#change;
  }

  readonly #warn = (error: unknown): void => this.#options.onWarning(toStompError(error));
}
