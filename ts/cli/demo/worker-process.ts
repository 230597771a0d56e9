/** The demo's end of its worker: a process that is really started and really ended. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { EngineInfo, EngineOptions, LoadProgress } from '../../engine/types.js';
import { StompError } from '../../errors.js';
import type { FromWorker, ToWorker, TurnAnswer, TurnRequest } from './messages.js';

interface Waiting {
  readonly type: FromWorker['type'];
  resolve(message: FromWorker): void;
  reject(error: StompError): void;
}

export class WorkerProcess {
  readonly #child: ChildProcess;
  readonly #onProgress: (progress: LoadProgress) => void;
  #waiting: Waiting | undefined;

  constructor(onProgress: (progress: LoadProgress) => void) {
    this.#onProgress = onProgress;
    this.#child = fork(fileURLToPath(new URL('./worker.js', import.meta.url)), {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    this.#child.on('message', (message: FromWorker) => this.#receive(message));
    this.#child.on('error', (cause) => this.#fail(ended(cause.message)));
    this.#child.on('exit', (code, signal) => this.#fail(ended(signal ?? `exit code ${code}`)));
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** @throws StompError as `Engine.load` does. */
  async load(model: string, options: EngineOptions): Promise<EngineInfo> {
    return (await this.#ask({ type: 'load', model, options }, 'loaded')).info;
  }

  async turn(turn: TurnRequest): Promise<TurnAnswer> {
    return (await this.#ask({ type: 'turn', turn }, 'answer')).answer;
  }

  /** Saves every agent and ends the process. Resolves when it is gone. */
  async end(): Promise<void> {
    await this.#ask({ type: 'close' }, 'closed');
    const gone = once(this.#child, 'exit');
    this.#child.disconnect();
    await gone;
  }

  /** Ends the process whatever it does. */
  kill(): void {
    this.#child.kill('SIGKILL');
  }

  #ask<T extends FromWorker['type']>(message: ToWorker, type: T): Promise<Extract<FromWorker, { type: T }>> {
    const answered = new Promise<FromWorker>((resolve, reject) => {
      this.#waiting = { type, resolve, reject };
    });
    this.#child.send(message);
    return answered as Promise<Extract<FromWorker, { type: T }>>;
  }

  #receive(message: FromWorker): void {
    if (message.type === 'progress') this.#onProgress(message.progress);
    else if (message.type === 'error') this.#fail(new StompError(message.code, message.message));
    else if (message.type === this.#waiting?.type) this.#take()?.resolve(message);
  }

  #fail(error: StompError): void {
    this.#take()?.reject(error);
  }

  #take(): Waiting | undefined {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    return waiting;
  }
}

function ended(how: string): StompError {
  return new StompError('GENERATION_FAILED', `The demo's worker process ended early (${how}).`);
}
