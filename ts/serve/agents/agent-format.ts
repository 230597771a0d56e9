/** Answers of `/v1/agents/{id}/generate`. A stream's events are pieces of the whole: what is said first, the cost last. */
import type { GenerationChunk, GenerationResult, TokenLogprob, Usage } from '../../engine/types.js';
import { chatLogprobs, type TokenBytes } from '../openai/logprobs.js';
import type { AnswerFormat } from '../turn.js';
import { errorBody } from '../wire-errors.js';

export interface AgentAnswerFacts {
  readonly agentId: string;
  readonly model: string;
  /** Log-probabilities were asked for. */
  readonly logprobs: boolean;
  readonly tokenizer: TokenBytes;
}

export function agentFormat({ agentId, model, logprobs, tokenizer }: AgentAnswerFacts): AnswerFormat {
  const named = { agent_id: agentId };
  const worded = (list: readonly TokenLogprob[]) =>
    logprobs && list.length > 0 ? { logprobs: chatLogprobs(list, tokenizer).content } : {};
  const ending = (result: GenerationResult) => ({
    finish_reason: result.finishReason,
    usage: usageBody(result.usage),
  });
  return {
    whole: ([result]) => ({
      ...named,
      model,
      ...(result && { ...said(result), ...worded(result.logprobs), ...ending(result) }),
    }),
    opening: () => [],
    piece: (chunk) => {
      const data = { ...piece(chunk), ...worded(chunk.logprobs ?? []) };
      return Object.keys(data).length === 0 ? [] : [{ data: { ...named, ...data } }];
    },
    ended: (result) => [{ data: { ...named, model, text: '', ...ending(result) } }],
    closing: () => [{ data: '[DONE]' }],
    failure: (error) => ({ data: { ...errorBody(error), ...named } }),
  };
}

/** Thoughts and calls only where there are any. */
function said({ text, reasoning, toolCalls }: GenerationResult): object {
  return {
    text,
    ...(reasoning === '' ? {} : { reasoning }),
    ...(toolCalls.length === 0 ? {} : { tool_calls: toolCalls }),
  };
}

function piece(chunk: GenerationChunk): object {
  if (chunk.type === 'tool_call') {
    const { index, id, name, arguments: text } = chunk;
    if (id === undefined && text === '') return {};
    return {
      tool_call: {
        index,
        ...(id === undefined ? {} : { id }),
        ...(name === undefined ? {} : { name }),
        arguments: text,
      },
    };
  }
  if (chunk.text === '') return {};
  return chunk.type === 'text' ? { text: chunk.text } : { reasoning: chunk.text };
}

function usageBody(usage: Usage): object {
  return {
    prompt_tokens: usage.promptTokens,
    cached_tokens: usage.cachedTokens,
    computed_tokens: usage.computedTokens,
    generated_tokens: usage.generatedTokens,
    drafted_tokens: usage.draftedTokens,
    accepted_tokens: usage.acceptedTokens,
    own_tokens: usage.ownTokens,
    shared_tokens: usage.sharedTokens,
    restored_tokens: usage.restoredTokens,
    miss_reason: usage.missReason === '' ? null : usage.missReason,
    queued_ms: usage.queuedMs,
    first_token_ms: usage.firstTokenMs,
    total_ms: usage.totalMs,
  };
}
