/**
 * One answer on its way from the engine to whoever reads it. Main thread only.
 *
 * It has two ends: the reader's (iterator and `result`), which an abort closes at once, and the engine's,
 * which closes when the engine says so. Until then the agent is busy.
 */
import { graftStack, StompError, toStompError } from '../errors.js';
import type { NativeFinish, NativeUsage } from '../native.js';
import { closedError, type Dispatcher, type RequestSink } from './dispatcher.js';
import { type FullGenerateOptions, type Guidance, plainRequest } from './generate-options.js';
import { type AnswerReader, joined } from './text/answer-reader.js';
import type {
  FinishReason,
  Generation,
  GenerationChunk,
  GenerationResult,
  PromptUse,
  TokenLogprob,
  Usage,
} from './types.js';

export interface GenerationSetup {
  agentId: string;
  options: FullGenerateOptions;
  /** Made where the user called: its frames go into errors. */
  caller: Error;
}

/** What the engine is to answer, and how the answer is read. */
export interface RunSetup {
  tokens: readonly number[];
  reader: AnswerReader;
  guidance?: Partial<Guidance>;
  /** Tokens that end the answer beside the model's own. */
  stopIds?: readonly number[];
  /** Added to what the engine says of the cache. */
  missReason?: string;
}

type Step = IteratorResult<GenerationChunk, undefined>;

export class LiveGeneration implements Generation {
  readonly agentId: string;
  readonly result: Promise<GenerationResult>;
  readonly started: Promise<PromptUse>;
  readonly #options: FullGenerateOptions;
  readonly #caller: Error;
  readonly #startedAt = performance.now();
  #submittedAt = this.#startedAt;
  #resolve!: (result: GenerationResult) => void;
  #reject!: (error: StompError) => void;
  #start!: (use: PromptUse) => void;
  #neverStarted!: (error: StompError) => void;
  /** Undefined until it runs. */
  #run: RunSetup | undefined;
  #onAbort: (() => void) | undefined;
  #cancelRequest: (() => void) | undefined;
  #cancelled = false;
  #over: AbortController | undefined;
  /** The reader's end is closed. */
  #closed = false;
  #error: StompError | undefined;
  /** Not yet read; later pieces join the last, so that a slow reader costs no more than the answer. */
  #unread: GenerationChunk[] = [];
  readonly #readers: { resolve: (step: Step) => void; reject: (error: StompError) => void }[] = [];
  readonly #iterator = this.#makeIterator();

  constructor(setup: GenerationSetup) {
    this.agentId = setup.agentId;
    this.#options = setup.options;
    this.#caller = setup.caller;
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Whoever iterates gets the error there; whoever does neither has chosen not to know.
    this.result.catch(() => undefined);
    this.started = new Promise((resolve, reject) => {
      this.#start = resolve;
      this.#neverStarted = reject;
    });
    this.started.catch(() => undefined);
    this.#listen();
  }

  [Symbol.asyncIterator](): AsyncIterator<GenerationChunk, undefined> {
    return this.#iterator;
  }

  async text(): Promise<string> {
    return (await this.result).text;
  }

  cancel(): void {
    if (this.#closed || this.#cancelled) return;
    this.#cancelled = true;
    if (this.#cancelRequest) this.#cancelRequest();
    else this.#complete('cancelled', undefined);
  }

  /** Whether anybody still waits for it. */
  get wanted(): boolean {
    return !this.#closed;
  }

  /** Aborted once nobody waits for it. */
  get over(): AbortSignal {
    this.#over ??= new AbortController();
    if (this.#closed) this.#over.abort();
    return this.#over.signal;
  }

  /** Ends it with an error; the engine is told to stop. Does nothing once it has ended. */
  fail(error: StompError): void {
    if (this.#closed) return;
    graftStack(error, this.#caller);
    this.#error = error;
    this.#close();
    this.#reject(error);
    this.#neverStarted(error);
    this.#readers.shift()?.reject(error);
    this.#endReaders();
    this.#cancelRequest?.();
  }

  /**
   * Sends the prompt to the engine. REQUIRES: `wanted`; a grammar only once the engine has the vocabulary.
   * @param record called once, before `result` resolves, when tokens have arrived or the answer is complete without
   *   any, and no error came.
   * @returns a promise that resolves when the engine is done with it, however it ended.
   */
  run(dispatcher: Dispatcher, setup: RunSetup, record: (answer: AnswerReader) => void): Promise<void> {
    this.#run = setup;
    return new Promise((resolve) => {
      const sink: RequestSink = {
        started: (cachedTokens) => this.#start({ promptTokens: setup.tokens.length, cachedTokens }),
        token: (token, logprob) => this.#token(token, setup.reader, logprob),
        prefill: (doneTokens, totalTokens) => this.#options.onPrefill?.({ doneTokens, totalTokens }),
        finish: (finish) => {
          this.#cancelRequest = undefined;
          try {
            this.#finish(finish, setup.reader, record);
          } finally {
            resolve();
          }
        },
        fail: (error) => {
          this.#cancelRequest = undefined;
          this.fail(error);
          resolve();
        },
      };
      const { sampling } = this.#options;
      const request = {
        ...plainRequest,
        ...setup.guidance,
        ...sampling,
        agent: this.agentId,
        prompt: Int32Array.from(setup.tokens),
        stopIds: Int32Array.from(setup.stopIds ?? []),
        score: false,
      };
      this.#submittedAt = performance.now();
      try {
        const id = dispatcher.submit(request, sink);
        this.#cancelRequest = () => dispatcher.cancel(id);
      } catch (error) {
        sink.fail(toStompError(error));
      }
    });
  }

  #token(token: number, reader: AnswerReader, logprob: TokenLogprob | undefined): void {
    if (reader.ended) return;
    this.#deliver(reader.push(token, logprob));
    if (reader.ended) this.#cancelRequest?.();
  }

  #finish(finish: NativeFinish, reader: AnswerReader, record: (answer: AnswerReader) => void): void {
    if (finish.reason === 'error') {
      this.fail(toStompError(finish.error ?? new Error('the engine gave no reason'), this.#caller));
      return;
    }
    const before = reader.ended;
    this.#deliver(reader.end(finish.reason));
    // An answer may be complete without saying anything; one that was cut off before its first token is none.
    if (reader.arrived > 0 || finish.reason === 'stop') record(reader);
    // A call that is cut off ends with the answer, but did not end it; a stop text that was held back did.
    const ended = before || reader.stopText !== undefined;
    const reason = finishReason(ended ? 'stop' : finish.reason, reader);
    if (reason === 'cancelled' && !this.#cancelled) this.fail(closedError());
    else this.#complete(reason, finish.usage);
  }

  #complete(reason: FinishReason, usage: NativeUsage | undefined): void {
    if (this.#closed) return;
    this.#close();
    this.#start({ promptTokens: usage?.promptTokens ?? 0, cachedTokens: usage?.cachedTokens ?? 0 });
    const reader = this.#run?.reader;
    this.#resolve({
      text: reader?.text ?? '',
      reasoning: reader?.reasoning ?? '',
      toolCalls: reader?.toolCalls.map((call) => ({ ...call })) ?? [],
      logprobs: reader?.logprobs() ?? [],
      tokens: reader?.tokens() ?? [],
      finishReason: reason,
      stopText: reader?.stopText,
      usage: this.#usage(usage),
      agentId: this.agentId,
    });
    this.#endReaders();
  }

  #usage(usage: NativeUsage | undefined): Usage {
    // The core counts from its own start; the wait for the agent's turn before it counts too.
    const waitedMs = this.#submittedAt - this.#startedAt;
    if (!usage) return { ...noUsage, totalMs: performance.now() - this.#startedAt };
    return {
      ...usage,
      computedTokens: usage.promptTokens - usage.cachedTokens,
      missReason: [usage.missReason, this.#run?.missReason ?? '']
        .filter((reason) => reason !== '')
        .join('; '),
      queuedMs: usage.queuedMs + waitedMs,
      firstTokenMs: usage.firstTokenMs > 0 ? usage.firstTokenMs + waitedMs : 0,
      totalMs: usage.totalMs + waitedMs,
    };
  }

  #deliver(chunks: readonly GenerationChunk[]): void {
    if (this.#closed) return;
    for (const chunk of chunks) {
      const reader = this.#readers.shift();
      const last = this.#unread.at(-1);
      if (reader) reader.resolve({ done: false, value: chunk });
      else if (!last || !joined(last, chunk)) this.#unread.push(chunk);
    }
  }

  #makeIterator(): AsyncIterableIterator<GenerationChunk, undefined> {
    return {
      next: () => this.#next(),
      return: async () => {
        this.cancel();
        this.#unread = [];
        return { done: true, value: undefined };
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  #next(): Promise<Step> {
    const chunk = this.#unread.shift();
    if (chunk) return Promise.resolve({ done: false, value: chunk });
    const error = this.#error;
    if (error) {
      this.#error = undefined;
      return Promise.reject(error);
    }
    if (this.#closed) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve, reject) => this.#readers.push({ resolve, reject }));
  }

  #listen(): void {
    const { signal } = this.#options;
    if (!signal) return;
    this.#onAbort = () => this.fail(abortError(signal));
    if (signal.aborted) this.#onAbort();
    else signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  #close(): void {
    this.#closed = true;
    this.#over?.abort();
    if (this.#onAbort) this.#options.signal?.removeEventListener('abort', this.#onAbort);
  }

  #endReaders(): void {
    for (const reader of this.#readers.splice(0)) reader.resolve({ done: true, value: undefined });
  }
}

function finishReason(reason: NativeFinish['reason'], reader: AnswerReader): FinishReason {
  if (reason === 'error') throw new Error('an error is no end of an answer');
  return reason === 'stop' && reader.stopText === undefined && reader.toolCalls.length > 0
    ? 'tool_calls'
    : reason;
}

const noUsage: Usage = {
  promptTokens: 0,
  cachedTokens: 0,
  computedTokens: 0,
  generatedTokens: 0,
  draftedTokens: 0,
  acceptedTokens: 0,
  ownTokens: 0,
  sharedTokens: 0,
  restoredTokens: 0,
  missReason: '',
  queuedMs: 0,
  firstTokenMs: 0,
  totalMs: 0,
};

/** What aborting a signal makes of the work it belongs to. */
export function abortError(signal: AbortSignal): StompError {
  return new StompError('CANCELLED', 'The request was cancelled by its signal.', { cause: signal.reason });
}
