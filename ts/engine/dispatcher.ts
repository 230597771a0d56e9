/**
 * Hands what a step of the engine brought to the requests it belongs to, in one pass over the step. Main
 * thread only.
 */
import { StompError, toStompError } from '../errors.js';
import { loopTurn } from '../loop-turn.js';
import type { NativeEngine, NativeFinish, NativeOnStep, NativeRequest } from '../native.js';
import type { TokenLogprob } from './types.js';

/** Where the events of one request go. Nothing is called after `finish` or `fail`. */
export interface RequestSink {
  /** `cachedTokens` of its prompt are in the cache; the rest is about to be computed. */
  started(cachedTokens: number): void;
  token(token: number, logprob?: TokenLogprob): void;
  prefill(done: number, total: number): void;
  finish(finish: NativeFinish): void;
  fail(error: StompError): void;
}

interface StepEvent {
  id: number;
  value: number;
  total: number;
  logprob: TokenLogprob | undefined;
}

/** The `total` of an event that says that a request has begun; below it: how many log-probabilities come along. */
const started = -1;

const noLogprobs = new Float32Array(0);

/** Request ids are 32-bit on the other side. */
const idLimit = 2 ** 31 - 1;

export class Dispatcher {
  readonly #live = new Map<number, RequestSink>();
  #engine: Pick<NativeEngine, 'submit' | 'cancel'> | undefined;
  #nextId = 1;
  /** Not yet told, in order. */
  readonly #finished: { sink: RequestSink; finish: NativeFinish }[] = [];

  /** REQUIRES: called once, before the first submit. */
  attach(engine: Pick<NativeEngine, 'submit' | 'cancel'>): void {
    this.#engine = engine;
  }

  get live(): number {
    return this.#live.size;
  }

  /**
   * @returns the request's id, for `cancel`.
   * @throws StompError SHUTTING_DOWN after `close`.
   */
  submit(request: Omit<NativeRequest, 'id'>, sink: RequestSink): number {
    const engine = this.#engine;
    if (!engine) throw closedError();
    const id = this.#freeId();
    this.#live.set(id, sink);
    try {
      engine.submit({ ...request, id });
    } catch (error) {
      this.#live.delete(id);
      throw toStompError(error);
    }
    return id;
  }

  /** Its `finish` comes within a step, unless it has come already. */
  cancel(id: number): void {
    if (this.#live.has(id)) this.#engine?.cancel(id);
  }

  /** The engine is gone: no request gets another event from it. */
  close(): void {
    this.#engine = undefined;
    while (this.#finished.length > 0) this.#finishNext();
    for (const [id, sink] of [...this.#live]) {
      this.#live.delete(id);
      sink.fail(closedError());
    }
  }

  /** The engine's callback. A sink that throws fails its own request only. */
  readonly onStep: NativeOnStep = (events, count, finished, logprobs = noLogprobs): void => {
    let told = 0;
    for (let i = 0; i < 3 * count; i += 3) {
      const total = events[i + 2] ?? 0;
      const pairs = total < started ? started - total : 0;
      const logprob = pairs === 0 ? undefined : tokenLogprob(logprobs, told, pairs);
      told += pairs;
      this.#event({ id: events[i] ?? 0, value: events[i + 1] ?? 0, total, logprob });
    }
    for (const finish of finished) this.#over(finish);
  };

  /** It is told in a turn of its own: to end an answer takes a millisecond, and many may end with one step. */
  #over(finish: NativeFinish): void {
    const sink = this.#live.get(finish.request);
    if (!sink) return;
    this.#live.delete(finish.request);
    this.#finished.push({ sink, finish });
    void loopTurn().then(() => this.#finishNext());
  }

  // Events of a request that was given up meanwhile are dropped.
  #event({ id, value, total, logprob }: StepEvent): void {
    const sink = this.#live.get(id);
    if (!sink) return;
    try {
      if (total > 0) sink.prefill(value, total);
      else if (total === started) sink.started(value);
      else sink.token(value, logprob);
    } catch (error) {
      this.#giveUp(id, sink, error);
    }
  }

  #finishNext(): void {
    const next = this.#finished.shift();
    if (!next) return;
    try {
      next.sink.finish(next.finish);
    } catch (error) {
      next.sink.fail(toStompError(error));
    }
  }

  #giveUp(id: number, sink: RequestSink, error: unknown): void {
    if (this.#live.delete(id)) this.#engine?.cancel(id);
    sink.fail(toStompError(error));
  }

  #freeId(): number {
    while (this.#live.has(this.#nextId)) this.#nextId = (this.#nextId % idLimit) + 1;
    const id = this.#nextId;
    this.#nextId = (id % idLimit) + 1;
    return id;
  }
}

/** From `pairs` pairs of token and log-probability: the token's own, then the likeliest. */
function tokenLogprob(logprobs: Float32Array, from: number, pairs: number): TokenLogprob {
  const pair = (i: number) => ({
    token: logprobs[2 * (from + i)] ?? 0,
    logprob: logprobs[2 * (from + i) + 1] ?? 0,
  });
  return { ...pair(0), top: Array.from({ length: pairs - 1 }, (_, i) => pair(i + 1)) };
}

/** What every call on a closed engine gets. */
export function closedError(): StompError {
  return new StompError('SHUTTING_DOWN', 'The engine is closed or closing; load another one.');
}
