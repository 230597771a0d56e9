/** Reads files on threads, so that thousands of them hold up nobody. */
import { Worker } from 'node:worker_threads';
import { cancelled } from '../git/git.js';
import { decode } from './coding.js';
import { type Content, fileLevel, parserEnded } from './extract.js';
import { languageOf } from './languages.js';
import type { ParseReply, ParseTask } from './parse-worker.js';

// A parser's memory is its thread's own; a file that takes more ends the thread, not the process.
const maxMemoryMb = 1024;

class ThreadEnded extends Error {}

export class ParseThreads {
  readonly #size: number;
  readonly #idle: ParseThread[] = [];
  readonly #all = new Set<ParseThread>();
  readonly #waiting: ((thread: ParseThread) => void)[] = [];
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort = () => void this.close();

  /** @param signal ends the threads; what they are at fails with CANCELLED. */
  constructor(size: number, signal?: AbortSignal) {
    this.#size = size;
    this.#signal = signal;
    signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  /**
   * A file over which a thread ends is known as a whole only.
   * @throws StompError CANCELLED
   */
  async read(tasks: readonly ParseTask[]): Promise<Content[]> {
    try {
      return await this.#attempt(tasks);
    } catch (error) {
      if (this.#signal?.aborted) throw cancelled(this.#signal);
      if (!(error instanceof ThreadEnded)) throw error;
      return this.#oneByOne(tasks, error);
    }
  }

  async close(): Promise<void> {
    this.#signal?.removeEventListener('abort', this.#onAbort);
    await Promise.all([...this.#all].map((thread) => thread.end()));
  }

  /** Finds the file that is to blame. */
  async #oneByOne(tasks: readonly ParseTask[], error: ThreadEnded): Promise<Content[]> {
    const [first] = tasks;
    if (first && tasks.length === 1)
      return [fileLevel(languageOf(first.path)?.name, `${parserEnded}: ${error.message}`)];
    const contents: Content[] = [];
    for (const task of tasks) contents.push(...(await this.read([task])));
    return contents;
  }

  async #attempt(tasks: readonly ParseTask[]): Promise<Content[]> {
    const thread = await this.#take();
    try {
      if (this.#signal?.aborted) throw cancelled(this.#signal);
      const contents = await thread.ask(tasks);
      this.#giveBack(thread);
      return contents.map(decode);
    } catch (error) {
      this.#all.delete(thread);
      await thread.end();
      const next = this.#waiting.shift();
      if (next) next(this.#start());
      throw error;
    }
  }

  #take(): Promise<ParseThread> {
    if (this.#signal?.aborted) return Promise.reject(cancelled(this.#signal));
    const idle = this.#idle.pop();
    if (idle) return Promise.resolve(idle);
    if (this.#all.size < this.#size) return Promise.resolve(this.#start());
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #giveBack(thread: ParseThread): void {
    const next = this.#waiting.shift();
    if (next) next(thread);
    else this.#idle.push(thread);
  }

  #start(): ParseThread {
    const thread = new ParseThread();
    this.#all.add(thread);
    return thread;
  }
}

interface Job {
  resolve(contents: readonly string[]): void;
  reject(error: Error): void;
}

class ParseThread {
  readonly #worker: Worker;
  #job: Job | undefined;
  #ended: ThreadEnded | undefined;

  constructor() {
    this.#worker = new Worker(new URL('./parse-worker.js', import.meta.url), {
      execArgv: threadFlags(),
      resourceLimits: { maxOldGenerationSizeMb: maxMemoryMb },
    });
    let cause = 'it was ended';
    this.#worker.on('message', (reply: ParseReply) => this.#settle(reply));
    this.#worker.on('error', (error) => {
      cause = error instanceof Error ? error.message : String(error);
    });
    this.#worker.on('exit', () => this.#settle({ error: cause }, true));
  }

  ask(tasks: readonly ParseTask[]): Promise<readonly string[]> {
    if (this.#ended) return Promise.reject(this.#ended);
    return new Promise((resolve, reject) => {
      this.#job = { resolve, reject };
      this.#worker.postMessage(tasks);
    });
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }

  #settle(reply: ParseReply, isEnd = false): void {
    const job = this.#job;
    this.#job = undefined;
    if (isEnd && 'error' in reply) this.#ended = new ThreadEnded(reply.error);
    if ('contents' in reply) job?.resolve(reply.contents);
    else job?.reject(this.#ended ?? new ThreadEnded(reply.error));
  }
}

/** Node's flags, but not those of a program that stands on the command line: no thread starts with them. */
function threadFlags(): string[] {
  return process.execArgv.some((flag) => flag.startsWith('--input-type')) ? [] : process.execArgv;
}
