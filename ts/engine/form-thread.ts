/**
 * Compiles forms on a thread of their own, one after the other, so that no schema holds up the event loop. Who asks
 * takes turns with the others who do. Main thread only.
 */
import { Worker } from 'node:worker_threads';
import { StompError } from '../errors.js';
import { closedError } from './dispatcher.js';
import type { FormError, FormReply, FormTask } from './form-worker.js';
import { abortError } from './generation.js';
import type { AddedToken } from './text/tools/form-vocabulary.js';

/** A schema that takes more memory than this ends the thread, not the process. */
const maxMemoryMb = 512;

interface Job {
  readonly text: string;
  readonly resolve: (grammar: string) => void;
  readonly reject: (error: StompError) => void;
  /** Takes back that it listens for a cancellation. */
  stop: () => void;
}

export class FormThread {
  readonly #added: readonly AddedToken[];
  /** By who asks; those first whose turn comes first. */
  readonly #waiting = new Map<string, Job[]>();
  #worker: Worker | undefined;
  #running: Job | undefined;
  #closed = false;

  /** @param added tokens that are found in texts as a whole: forms name some of them. */
  constructor(added: readonly AddedToken[]) {
    this.#added = added;
  }

  /**
   * @param text what is asked, as JSON text. The same text is compiled once for all who wait for it.
   * @param client takes turns with the others.
   * @throws StompError as `answerGrammar`; CANCELLED, SHUTTING_DOWN; GENERATION_FAILED when the thread ended over it.
   */
  compile(text: string, client: string, signal?: AbortSignal): Promise<string> {
    if (this.#closed) return Promise.reject(closedError());
    if (signal?.aborted) return Promise.reject(abortError(signal));
    return new Promise((resolve, reject) => {
      const job: Job = { text, resolve, reject, stop: () => undefined };
      if (signal) {
        const onAbort = () => this.#drop(client, job, abortError(signal));
        signal.addEventListener('abort', onAbort, { once: true });
        job.stop = () => signal.removeEventListener('abort', onAbort);
      }
      const own = this.#waiting.get(client);
      if (own) own.push(job);
      else this.#waiting.set(client, [job]);
      this.#next();
    });
  }

  /** Ends the thread. All that waits fails with SHUTTING_DOWN. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const job of [this.#running, ...[...this.#waiting.values()].flat()]) {
      if (job) settle(job, { error: closedError() });
    }
    this.#waiting.clear();
    this.#running = undefined;
    await this.#worker?.terminate();
  }

  /** Who is cancelled waits no longer. The thread finishes what it is at. */
  #drop(client: string, job: Job, error: StompError): void {
    const own = this.#waiting.get(client)?.filter((other) => other !== job) ?? [];
    if (own.length > 0) this.#waiting.set(client, own);
    else this.#waiting.delete(client);
    settle(job, { error });
  }

  #next(): void {
    if (this.#running !== undefined) return;
    const [turn] = this.#waiting;
    if (turn === undefined) {
      this.#worker?.unref();
      return;
    }
    const [client, [job, ...rest]] = turn;
    this.#waiting.delete(client);
    if (rest.length > 0) this.#waiting.set(client, rest);
    if (job === undefined) return;
    this.#running = job;
    this.#hand(job);
  }

  #hand({ text }: Job): void {
    try {
      this.#worker ??= this.#start();
    } catch (cause) {
      this.#finish({ error: endedError(cause) }, true);
      return;
    }
    this.#worker.ref();
    this.#worker.postMessage({ text } satisfies FormTask);
  }

  #start(): Worker {
    const worker = new Worker(new URL('./form-worker.js', import.meta.url), {
      workerData: this.#added,
      execArgv: threadFlags(),
      resourceLimits: { maxOldGenerationSizeMb: maxMemoryMb },
    });
    worker.on('message', (reply: FormReply) => this.#finish(reply));
    let cause: unknown;
    worker.on('error', (error) => {
      cause = error;
    });
    worker.on('exit', () => {
      if (this.#worker !== worker) return;
      this.#worker = undefined;
      if (!this.#closed) this.#finish({ error: endedError(cause) }, true);
    });
    return worker;
  }

  /** @param alone what waits for the same form is not told; it is tried again. */
  #finish(reply: FormReply | { error: StompError }, alone = false): void {
    const job = this.#running;
    this.#running = undefined;
    if (job) {
      settle(job, reply);
      if (!alone) this.#settleAlike(job.text, reply);
    }
    this.#next();
  }

  #settleAlike(text: string, reply: FormReply): void {
    for (const [client, jobs] of [...this.#waiting]) {
      const others = jobs.filter((job) => job.text !== text);
      if (others.length === jobs.length) continue;
      if (others.length > 0) this.#waiting.set(client, others);
      else this.#waiting.delete(client);
      for (const job of jobs) if (job.text === text) settle(job, reply);
    }
  }
}

/**
 * Undefined: Node's flags of this thread, which may not be spelt out, as those of the process (`--expose-gc`) are refused
 * then. None for a program that stands on the command line: no thread starts with its flags.
 */
function threadFlags(): string[] | undefined {
  return process.execArgv.some((flag) => flag.startsWith('--input-type')) ? [] : undefined;
}

function settle(job: Job, reply: FormReply | { error: StompError }): void {
  job.stop();
  if ('grammar' in reply) job.resolve(reply.grammar);
  else job.reject(asError(reply.error));
}

function asError(error: StompError | FormError): StompError {
  if (error instanceof StompError) return error;
  return new StompError(error.code, error.message, { fields: error.fields });
}

function endedError(cause: unknown): StompError {
  const message =
    'The thread that compiles forms has ended over this one; use a smaller schema, or ask again.';
  return new StompError('GENERATION_FAILED', message, { cause });
}
