/**
 * Hands what a step of the engine brought to the requests it belongs to, in one pass over the step. Main
 * thread only.
 */
import { StompError, toStompError } from '../errors.js';
import type { NativeEngine, NativeFinish, NativeRequest } from '../native.js';

/** Where the events of one request go. Nothing is called after `finish` or `fail`. */
export interface RequestSink {
  token(token: number): void;
  prefill(done: number, total: number): void;
  finish(finish: NativeFinish): void;
  fail(error: StompError): void;
}

/** Request ids are 32-bit on the other side. */
const idLimit = 2 ** 31 - 1;

export class Dispatcher {
  readonly #live = new Map<number, RequestSink>();
  #engine: Pick<NativeEngine, 'submit' | 'cancel'> | undefined;
  #nextId = 1;

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
    for (const [id, sink] of [...this.#live]) {
      this.#live.delete(id);
      sink.fail(closedError());
    }
  }

  /** The engine's callback. A sink that throws fails its own request only. */
  readonly onStep = (tokens: Int32Array, progress: Int32Array, finished: readonly NativeFinish[]): void => {
    for (let i = 0; i + 1 < tokens.length; i += 2) {
      this.#deliver(tokens[i], (sink) => sink.token(tokens[i + 1] ?? 0));
    }
    for (let i = 0; i + 2 < progress.length; i += 3) {
      this.#deliver(progress[i], (sink) => sink.prefill(progress[i + 1] ?? 0, progress[i + 2] ?? 0));
    }
    for (const finish of finished) {
      this.#deliver(finish.request, (sink) => {
        this.#live.delete(finish.request);
        sink.finish(finish);
      });
    }
  };

  // Events of a request that was given up meanwhile are dropped.
  #deliver(id: number | undefined, event: (sink: RequestSink) => void): void {
    const sink = this.#live.get(id ?? 0);
    if (id === undefined || !sink) return;
    try {
      event(sink);
    } catch (error) {
      if (this.#live.delete(id)) this.#engine?.cancel(id);
      sink.fail(toStompError(error));
    }
  }

  #freeId(): number {
    while (this.#live.has(this.#nextId)) this.#nextId = (this.#nextId % idLimit) + 1;
    const id = this.#nextId;
    this.#nextId = (id % idLimit) + 1;
    return id;
  }
}

/** What every call on a closed engine gets. */
export function closedError(): StompError {
  return new StompError('SHUTTING_DOWN', 'The engine is closed or closing; load another one.');
}
