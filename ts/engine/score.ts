/** How likely a model finds a text. Main thread only. */
import { StompError, toStompError } from '../errors.js';
import { closedError, type Dispatcher } from './dispatcher.js';
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
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(abortError(signal));
    const onAbort = () => dispatcher.cancel(id);
    const settled = () => signal?.removeEventListener('abort', onAbort);
    const id = dispatcher.submit(
      { ...wholePrompt, prompt: Int32Array.from(tokens), cacheSalt },
      {
        token: () => {},
        prefill: () => {},
        finish: ({ reason, error, logprobs }) => {
          settled();
          if (reason === 'cancelled') reject(signal?.aborted ? abortError(signal) : closedError());
          else if (error || !logprobs)
            reject(toStompError(error ?? new Error('the engine gave no logprobs')));
          else resolve({ tokens, logprobs, perplexity: perplexity(logprobs) });
        },
        fail: (error) => {
          settled();
          reject(error);
        },
      },
    );
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

const wholePrompt = {
  agent: '',
  maxTokens: 0,
  stopIds: new Int32Array(0),
  ignoreEos: false,
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  seed: 0,
  score: true,
};

function perplexity(logprobs: Float32Array): number {
  const sum = logprobs.reduce((total, logprob) => total + logprob, 0);
  return Math.exp(-sum / logprobs.length);
}
