/** Answers in the shape of OpenAI's completions, with the agent's name beside. */
import type { FinishReason, GenerationResult, TokenLogprob } from '../../engine/types.js';
import type { SseEvent } from '../sse.js';
import type { AnswerFormat } from '../turn.js';
import { errorBody } from '../wire-errors.js';
import type { AnswerFacts } from './answer-facts.js';
import { DONE } from './chat-format.js';
import { CompletionLogprobs, type TokenBytes } from './logprobs.js';
import { obfuscated } from './stream-options.js';
import { usageBody } from './usage.js';

export interface CompletionFacts extends AnswerFacts {
  /** Texts of the prompts; need not be right where nothing of them is shown. */
  readonly prompts: readonly string[];
  /** How many answers to each prompt; they stand together, in the order of the prompts. */
  readonly choices: number;
  readonly echo: boolean;
  /** Log-probabilities were asked for. */
  readonly logprobs: boolean;
  readonly includeUsage: boolean;
  readonly obfuscate: boolean;
  readonly tokenizer: TokenBytes;
}

export function completionFormat(facts: CompletionFacts): AnswerFormat {
  const { choices, echo, logprobs, prompts } = facts;
  const promptOf = (index: number) => prompts[Math.floor(index / choices)] ?? '';
  const states = prompts
    .flatMap((prompt) => Array<string>(choices).fill(prompt))
    .map((prompt) => new CompletionLogprobs(facts.tokenizer, prompt.length));
  const worded = (index: number, list: readonly TokenLogprob[]) =>
    logprobs && list.length > 0 ? (states[index]?.next(list) ?? null) : null;
  return {
    whole: (results) => ({
      ...envelope(facts),
      choices: results.map((result, index) => ({
        text: (echo ? promptOf(index) : '') + result.text,
        index,
        logprobs: worded(index, result.logprobs),
        finish_reason: result.finishReason,
      })),
      usage: usage(results, choices),
    }),
    opening: () => (echo ? states.map((_, index) => chunk(facts, index, promptOf(index))) : []),
    piece: (piece, index) => {
      if (piece.type !== 'text') return [];
      const list = worded(index, piece.logprobs ?? []);
      return piece.text === '' && list === null ? [] : [chunk(facts, index, piece.text, list)];
    },
    ended: (result, index) => [chunk(facts, index, '', null, result.finishReason)],
    closing: (results) => [
      ...(facts.includeUsage
        ? [{ data: { ...envelope(facts), choices: [], usage: usage(results, choices) } }]
        : []),
      DONE,
    ],
    failure: (error) => ({ data: { ...errorBody(error), agent_id: facts.agentId } }),
  };
}

function usage(results: readonly GenerationResult[], choices: number): object {
  const usages = results.map((result) => result.usage);
  const firsts = usages.filter((_, index) => index % choices === 0);
  return usageBody(firsts, usages);
}

function chunk(
  facts: CompletionFacts,
  index: number,
  text: string,
  logprobs: object | null = null,
  finishReason: FinishReason | null = null,
): SseEvent {
  const data = {
    ...envelope(facts),
    choices: [{ text, index, logprobs, finish_reason: finishReason }],
    ...(facts.includeUsage ? { usage: null } : {}),
  };
  return { data: facts.obfuscate ? obfuscated(data) : data };
}

function envelope(facts: CompletionFacts): object {
  return {
    id: facts.id,
    object: 'text_completion',
    created: facts.created,
    model: facts.model,
    system_fingerprint: facts.fingerprint,
    agent_id: facts.agentId,
  };
}
