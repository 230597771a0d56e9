/** The score of a text in windows of equal length, each read alone. Pure, but for the scoring itself. */
import type { ScoreResult } from '../engine/types.js';

export interface WindowScore {
  readonly windows: number;
  /** Tokens whose probability was asked for: all but the first of each window. */
  readonly scoredTokens: number;
  readonly perplexity: number;
}

/** A reading of one window from position 0; entry i of `logprobs` belongs to token i + 1. */
export type ScoreWindow = (tokens: readonly number[]) => Promise<Pick<ScoreResult, 'logprobs'>>;

/**
 * Cuts from the beginning; what is left over at the end is not used.
 * @returns undefined when the text does not fill one window.
 */
export async function scoreInWindows(
  tokens: readonly number[],
  windowTokens: number,
  score: ScoreWindow,
  onWindow: (done: number, total: number) => void,
): Promise<WindowScore | undefined> {
  const total = Math.floor(tokens.length / windowTokens);
  let sum = 0;
  let scoredTokens = 0;
  for (let index = 0; index < total; index++) {
    const begin = index * windowTokens;
    const { logprobs } = await score(tokens.slice(begin, begin + windowTokens));
    for (const logprob of logprobs) sum += logprob;
    scoredTokens += logprobs.length;
    onWindow(index + 1, total);
  }
  return total === 0
    ? undefined
    : { windows: total, scoredTokens, perplexity: Math.exp(-sum / scoredTokens) };
}
