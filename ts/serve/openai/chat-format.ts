/** Answers in the shape of OpenAI's chat completions, with the agent's name beside. Pure. */
import type { FinishReason, GenerationResult, Usage } from '../../engine/types.js';
import type { SseEvent } from '../sse.js';
import type { AnswerFormat } from '../turn.js';
import { errorBody } from '../wire-errors.js';

export interface ChatAnswerFacts {
  /** `chatcmpl-…` */
  readonly id: string;
  /** Unix time in seconds. */
  readonly created: number;
  readonly model: string;
  readonly fingerprint: string;
  readonly agentId: string;
  /** A last chunk with the usage, and `usage: null` on those before. */
  readonly includeUsage: boolean;
}

interface Delta {
  role?: 'assistant';
  content?: string;
}

export function chatFormat(facts: ChatAnswerFacts): AnswerFormat {
  return {
    whole: ([result]) => ({
      ...envelope(facts, 'chat.completion'),
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: result?.text, refusal: null },
          logprobs: null,
          finish_reason: result?.finishReason,
        },
      ],
      usage: result && usageBody(result.usage),
    }),
    opening: () => [{ data: chunk(facts, { role: 'assistant', content: '' }, null) }],
    piece: (piece) =>
      piece.type === 'text' && piece.text !== ''
        ? [{ data: chunk(facts, { content: piece.text }, null) }]
        : [],
    ended: (result) => [{ data: chunk(facts, {}, result.finishReason) }],
    closing: ([result]) => [...(result ? usageChunk(facts, result) : []), { data: '[DONE]' }],
    failure: (error) => ({ data: errorBody(error) }),
  };
}

/** Token counts as OpenAI words them; what the cache did is in `prompt_tokens_details`. */
export function usageBody(usage: Usage): object {
  return {
    prompt_tokens: usage.promptTokens,
    completion_tokens: usage.generatedTokens,
    total_tokens: usage.promptTokens + usage.generatedTokens,
    prompt_tokens_details: {
      cached_tokens: usage.cachedTokens,
      computed_tokens: usage.computedTokens,
      shared_tokens: usage.sharedTokens,
      restored_tokens: usage.restoredTokens,
      miss_reason: usage.missReason === '' ? null : usage.missReason,
    },
  };
}

function chunk(facts: ChatAnswerFacts, delta: Delta, finishReason: FinishReason | null): object {
  return {
    ...envelope(facts, 'chat.completion.chunk'),
    choices: [{ index: 0, delta, logprobs: null, finish_reason: finishReason }],
    ...(facts.includeUsage ? { usage: null } : {}),
  };
}

function usageChunk(facts: ChatAnswerFacts, result: GenerationResult): SseEvent[] {
  if (!facts.includeUsage) return [];
  const usage = usageBody(result.usage);
  return [{ data: { ...envelope(facts, 'chat.completion.chunk'), choices: [], usage } }];
}

function envelope(facts: ChatAnswerFacts, object: string): object {
  return {
    id: facts.id,
    object,
    created: facts.created,
    model: facts.model,
    system_fingerprint: facts.fingerprint,
    agent_id: facts.agentId,
  };
}
