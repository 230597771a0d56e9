/**
 * Asks `Code` on a thread of its own: to read a repository, to forecast or to merge keeps one busy for seconds, and
 * would hold up every stream of a server. Main thread only.
 */
import { Worker } from 'node:worker_threads';
import { StompError } from '../../errors.js';
import { threadFlags } from '../../thread-flags.js';
import { cancelled } from '../git/git.js';
import type { Code, CodeCall } from './code.js';
import type { CodeMethod, CodeReply, CodeTask } from './code-worker.js';

type Question<M extends CodeMethod> = Parameters<Code[M]>[0];
type Answer<M extends CodeMethod> = Awaited<ReturnType<Code[M]>>;

interface Job {
  resolve(answer: unknown): void;
  reject(error: StompError): void;
  readonly onProgress: CodeCall['onProgress'];
  /** It listens for a cancellation no longer. */
  stop(): void;
}

/** What a repository takes in memory is given back after so long without a question. */
const idleMs = 60_000;

export class CodeThread {
  readonly #folder: string;
  readonly #jobs = new Map<number, Job>();
  #worker: Worker | undefined;
  #nextId = 1;
  #idle: NodeJS.Timeout | undefined;
  #isClosed = false;

  /** @param folder in a working tree, or a bare repository */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /** @throws StompError as `Code`; CANCELLED, SHUTTING_DOWN; INTERNAL_ERROR when the thread ended over it */
  ask<M extends CodeMethod>(method: M, question: Question<M>, call: CodeCall): Promise<Answer<M>> {
    const { signal, onProgress } = call;
    if (this.#isClosed) return Promise.reject(closedError());
    if (signal?.aborted) return Promise.reject(cancelled(signal));
    const id = this.#nextId++;
    const answer = new Promise<unknown>((resolve, reject) => {
      const onAbort = () => {
        this.#worker?.postMessage({ id } satisfies CodeTask);
        this.#settle(id)?.reject(cancelled(signal));
      };
      const stop = () => signal?.removeEventListener('abort', onAbort);
      this.#jobs.set(id, { resolve, reject, onProgress, stop });
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#send({ id, method, question });
    });
    return answer as Promise<Answer<M>>;
  }

  /** Ends the thread. What is asked fails with SHUTTING_DOWN. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const id of [...this.#jobs.keys()]) this.#settle(id)?.reject(closedError());
    await this.#end();
  }

  #send(task: CodeTask): void {
    clearTimeout(this.#idle);
    try {
      this.#worker ??= this.#start();
    } catch (cause) {
      this.#failAll(cause);
      return;
    }
    this.#worker.ref();
    this.#worker.postMessage(task);
  }

  #start(): Worker {
    const worker = new Worker(new URL('./code-worker.js', import.meta.url), {
      workerData: this.#folder,
      execArgv: threadFlags(),
    });
    worker.on('message', (reply: CodeReply) => this.#take(reply));
    let cause: unknown;
    worker.on('error', (error) => {
      cause = error;
    });
    worker.on('exit', () => {
      if (this.#worker !== worker) return;
      this.#worker = undefined;
      this.#failAll(cause);
    });
    return worker;
  }

  #take(reply: CodeReply): void {
    if ('total' in reply) this.#jobs.get(reply.id)?.onProgress?.(reply.done, reply.total);
    else if ('answer' in reply) this.#settle(reply.id)?.resolve(reply.answer);
    else this.#settle(reply.id)?.reject(asError(reply.error));
  }

  /** @returns undefined for what was cancelled. */
  #settle(id: number): Job | undefined {
    const job = this.#jobs.get(id);
    this.#jobs.delete(id);
    job?.stop();
    if (this.#jobs.size === 0) this.#rest();
    return job;
  }

  #rest(): void {
    this.#worker?.unref();
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => void this.#end(), idleMs).unref();
  }

  async #end(): Promise<void> {
    clearTimeout(this.#idle);
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
  }

  #failAll(cause: unknown): void {
    for (const id of [...this.#jobs.keys()]) this.#settle(id)?.reject(endedError(cause));
  }
}

function asError({ code, message, fields }: ReturnType<StompError['toJSON']>): StompError {
  return new StompError(code, message, { fields });
}

function closedError(): StompError {
  return new StompError('SHUTTING_DOWN', 'These reservations are closed; open them anew.');
}

function endedError(cause: unknown): StompError {
  const why = cause instanceof Error ? `: ${cause.message}` : '';
  const message = `The thread that reads the repository has ended${why}. Ask again; a repository too large for the memory fails again.`;
  return new StompError('INTERNAL_ERROR', message, { cause });
}
