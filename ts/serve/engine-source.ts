/** Where a server has its engine from: a registry whose models come and go, or one engine for good. */
import type { Lease } from '../engine/leases.js';
import type { ModelRegistry } from '../engine/model-registry.js';
import type { ModelEvent, ModelStatus } from '../engine/model-status.js';
import type { RegistryEngine } from '../engine/registry-options.js';
import type { AgentInfo } from '../engine/types.js';
import { StompError, toStompError } from '../errors.js';
import type { ServedEngine } from './service.js';

/** A registry of engines that a server can use. */
export type ServedRegistry = ModelRegistry<ServedEngine & RegistryEngine>;

export interface EngineSource {
  /** The engine, if it is there. */
  readonly engine: ServedEngine | undefined;
  /** Those of a model that sleeps; undefined when none sleeps, or they are not known. */
  readonly sleepingAgents?: readonly AgentInfo[] | undefined;
  current(): ModelStatus;
  /** @throws StompError MODEL_SWAP, ENGINE_UNAVAILABLE, CANCELLED */
  acquire(signal: AbortSignal): Promise<Lease<ServedEngine>>;
  /** Why there is no engine for a request now. */
  unavailable(): StompError;
  /** @returns ends the subscription. */
  subscribe(listener: (event: ModelEvent) => void): () => void;
}

/** Whether models can be exchanged. */
export function isRegistry(source: EngineSource): source is ServedRegistry {
  return 'swap' in source;
}

export interface FixedNames {
  /** @default the name that the engine was loaded by */
  readonly model: string | undefined;
  readonly aliases: readonly string[];
}

/** Whoever loaded the engine also closes it; here it only may be late, or fail to come. */
export class FixedEngine implements EngineSource {
  readonly #names: FixedNames;
  readonly #listeners = new Set<(event: ModelEvent) => void>();
  readonly #createdMs = Date.now();
  #engine: ServedEngine | undefined;
  #failure: StompError | undefined;
  #requests = 0;

  constructor(engine: ServedEngine | Promise<ServedEngine>, names: FixedNames) {
    this.#names = names;
    if (!(engine instanceof Promise)) this.#engine = engine;
    else
      engine.then(
        (loaded) => this.#settle(() => (this.#engine = loaded)),
        (caught: unknown) => this.#settle(() => (this.#failure = toStompError(caught))),
      );
  }

  get engine(): ServedEngine | undefined {
    return this.#engine;
  }

  current(): ModelStatus {
    const loaded = this.#engine ? 'ready' : 'loading';
    return {
      state: this.#failure ? 'failed' : loaded,
      model: this.#names.model ?? this.#engine?.info.model,
      aliases: this.#names.aliases,
      next: undefined,
      awaited: false,
      asleep: false,
      progress: undefined,
      failure: this.#failure,
      loadedAtMs: this.#createdMs,
      requests: this.#requests,
      waiting: 0,
    };
  }

  async acquire(): Promise<Lease<ServedEngine>> {
    if (!this.#engine) throw this.unavailable();
    this.#requests++;
    let release = (): void => {
      this.#requests--;
      release = () => undefined;
    };
    return { engine: this.#engine, signal: new AbortController().signal, release: () => release() };
  }

  unavailable(): StompError {
    const { state } = this.current();
    const reason = this.#failure
      ? `The model could not be loaded: ${this.#failure.message}`
      : 'The model is being loaded; try again in a moment.';
    return new StompError('ENGINE_UNAVAILABLE', reason, { fields: { state } });
  }

  subscribe(listener: (event: ModelEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #settle(set: () => void): void {
    set();
    for (const listener of this.#listeners) listener({ type: 'state', status: this.current() });
  }
}
