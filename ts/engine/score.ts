/** How likely a model finds a text. Main thread only. */

import { StompError, toStompError } from '../errors.js';
import type { NativeFinish } from '../native.js';
import { closedError, type Dispatcher } from './dispatcher.js';
import { plainRequest } from './generate-options.js';
import { abortError } from './generation.js';
import type { ScoreResult } from './types.js';

export interface ScoreRequest {
  cacheSalt: string;
  signal: AbortSignal | undefined;
}

/** @throws StompError INVALID_REQUEST, CONTEXT_OVERFLOW, QUEUE_FULL, CANCELLED, SHUTTING_DOWN */
export function scoreTokens(
  dispatcher: Dispatcher,
  tokens: number[],
  request: ScoreRequest,
): Promise<ScoreResult> {
  if (tokens.length < 2) {
    throw new StompError(
      'INVALID_REQUEST',
      `A text of ${tokens.length} tokens cannot be scored; 2 are the least.`,
      {
        fields: { field: 'text', tokens: tokens.length },
      },
    );
  }
  const { signal, cacheSalt } = request;
  if (signal?.aborted) return Promise.reject(abortError(signal));
  const listening = new AbortController();
  const scored = new Promise<ScoreResult>((resolve, reject) => {
    const id = dispatcher.submit(
      { ...wholePrompt, prompt: Int32Array.from(tokens), cacheSalt },
      { ...silent, finish: (finish) => settle(finish), fail: reject },
    );
    const settle = (finish: NativeFinish) => {
      const { logprobs } = finish;
      if (logprobs) resolve({ tokens, logprobs, perplexity: perplexity(logprobs) });
      else reject(whyNot(finish, signal));
    };
    signal?.addEventListener('abort', () => dispatcher.cancel(id), { signal: listening.signal });
  });
  return scored.finally(() => listening.abort());
}

function whyNot(finish: NativeFinish, signal: AbortSignal | undefined): StompError {
  if (finish.reason !== 'cancelled')
    return toStompError(finish.error ?? new Error('the engine gave no logprobs'));
  return signal?.aborted ? abortError(signal) : closedError();
}

const silent = { started: () => undefined, token: () => undefined, prefill: () => undefined };

const wholePrompt = {
  ...plainRequest,
  agent: '',
  priority: 'normal',
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  biasIds: new Int32Array(0),
  biases: new Float32Array(0),
  topLogprobs: -1,
  maxTokens: 0,
  stopIds: new Int32Array(0),
  ignoreEos: false,
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  seed: 0,
  score: true,
} as const;

function perplexity(logprobs: Float32Array): number {
  const sum = logprobs.reduce((total, logprob) => total + logprob, 0);
  return Math.exp(-sum / logprobs.length);
}
