/**
 * What the routes share: the engine once it is there, the state of the server, and the turns that run.
 * One per server; main thread only.
 */
import type { ServerResponse } from 'node:http';
import type { Engine } from '../engine/engine.js';
import { StompError, toStompError } from '../errors.js';
import type { RateLimits } from './access/rate-limits.js';
import { AnonymousAgents } from './anonymous.js';
import { InFlight } from './in-flight.js';
import type { Metrics } from './metrics.js';
import type { DocumentParts } from './openapi/document.js';

/** What the server uses of an engine. */
export type ServedEngine = Pick<
  Engine,
  | 'info'
  | 'tokenizer'
  | 'agent'
  | 'agents'
  | 'create'
  | 'chat'
  | 'complete'
  | 'countTokens'
  | 'stats'
  | 'remove'
  | 'evict'
>;

/** Where a server is in its life; only `ready` ones take requests. */
export type Phase = 'loading' | 'ready' | 'failed' | 'draining';

/** The model under the names that requests may use. */
export interface ServedModel {
  readonly id: string;
  readonly aliases: readonly string[];
  /** Unix time in seconds. */
  readonly created: number;
}

export class Service {
  readonly metrics: Metrics;
  /** How often an agent may ask. */
  readonly rates: RateLimits;
  readonly anonymous = new AnonymousAgents();
  /** What the routes of this server are, for its OpenAPI document; whoever adds routes adds to it. */
  readonly described: DocumentParts[] = [];
  /** Requests whose response is not yet sent to its end. */
  readonly responses = new InFlight();
  readonly #running = new InFlight();
  readonly #turns = new Set<AbortController>();
  #model: ServedModel;
  #engine: ServedEngine | undefined;
  #phase: Phase = 'loading';
  #failure: StompError | undefined;

  /** @param engine may still be loading; until then requests are answered with 503. */
  constructor(
    engine: ServedEngine | Promise<ServedEngine>,
    model: ServedModel,
    metrics: Metrics,
    rates: RateLimits,
  ) {
    this.#model = model;
    this.metrics = metrics;
    this.rates = rates;
    if (!(engine instanceof Promise)) this.#opened(engine);
    else
      engine.then(
        (loaded) => this.#opened(loaded),
        (caught: unknown) => this.#failed(caught),
      );
  }

  /** Nameless until the engine is there, if nobody has named it. */
  get model(): ServedModel {
    return this.#model;
  }

  get phase(): Phase {
    return this.#phase;
  }

  /** Why loading failed, in the phase `failed`. */
  get failure(): StompError | undefined {
    return this.#failure;
  }

  /** The engine, in whatever phase; undefined until it is loaded. */
  get loaded(): ServedEngine | undefined {
    return this.#engine;
  }

  get runningTurns(): number {
    return this.#running.count;
  }

  /**
   * The engine, for a new request.
   * @throws StompError ENGINE_UNAVAILABLE while loading or after it failed, SHUTTING_DOWN.
   */
  engine(): ServedEngine {
    this.refuseWhileDraining();
    if (this.#engine) return this.#engine;
    const reason = this.#failure
      ? `The model could not be loaded: ${this.#failure.message}`
      : 'The model is being loaded; try again in a moment.';
    throw new StompError('ENGINE_UNAVAILABLE', reason, { fields: { phase: this.#phase } });
  }

  /** @throws StompError SHUTTING_DOWN */
  refuseWhileDraining(): void {
    if (this.#phase !== 'draining') return;
    throw new StompError('SHUTTING_DOWN', 'The server is shutting down; try again once it is back.', {
      fields: { phase: this.#phase },
    });
  }

  /** Registers a turn: it is aborted when its client goes or when draining takes too long. */
  beginTurn(response: ServerResponse): AbortController {
    const turn = new AbortController();
    this.#turns.add(turn);
    this.#running.begin();
    response.once('close', () => {
      if (!response.writableFinished) turn.abort(new StompError('CANCELLED', 'The client went away.'));
    });
    return turn;
  }

  /** REQUIRES: `turn` came from `beginTurn`; called once, however the turn ended. */
  endTurn(turn: AbortController): void {
    this.#turns.delete(turn);
    this.#running.end();
  }

  /** Refuses new requests from now on. Resolves when no turn runs. */
  drain(): Promise<void> {
    this.#phase = 'draining';
    return this.#running.idle();
  }

  /** Cancels the turns that still run. */
  cancelTurns(): void {
    const reason = new StompError('SHUTTING_DOWN', 'The server shut down before the answer was complete.');
    for (const turn of this.#turns) turn.abort(reason);
  }

  #opened(engine: ServedEngine): void {
    this.#engine = engine;
    if (this.#model.id === '') this.#model = { ...this.#model, id: engine.info.model };
    if (this.#phase === 'loading') this.#phase = 'ready';
  }

  #failed(caught: unknown): void {
    this.#failure = toStompError(caught);
    if (this.#phase === 'loading') this.#phase = 'failed';
  }
}
