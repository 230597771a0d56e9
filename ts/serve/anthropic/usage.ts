/** Token counts and the reason of an answer's end, as Anthropic words them. Pure. */
import type { GenerationResult, PromptUse, Usage } from '../../engine/types.js';

/**
 * The prompt is `input_tokens` + `cache_read_input_tokens`. Caching is automatic and costs nothing, so that
 * nothing is counted as written.
 */
export function usageBody(usage: Usage): object {
  const { promptTokens, cachedTokens, generatedTokens, missReason } = usage;
  return {
    ...counts(promptTokens - cachedTokens, cachedTokens, generatedTokens),
    cache_miss_reason: missReason === '' ? null : missReason,
  };
}

/** Before the first token. */
export function openingUsage({ promptTokens, cachedTokens }: PromptUse): object {
  return counts(promptTokens - cachedTokens, cachedTokens, 0);
}

function counts(input: number, read: number, output: number): object {
  return {
    input_tokens: input,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: read,
    cache_creation: { ephemeral_5m_input_tokens: 0, ephemeral_1h_input_tokens: 0 },
    output_tokens: output,
    output_tokens_details: null,
    server_tool_use: null,
    service_tier: 'standard',
    inference_geo: null,
    speed: null,
  };
}

export interface StopFacts {
  readonly stop_reason: string;
  readonly stop_sequence: string | null;
}

/** @param maxTokens what the request allowed; an answer cut before that has used up the context. */
export function stopReason(result: GenerationResult, maxTokens: number): StopFacts {
  const { finishReason, stopText, usage } = result;
  if (finishReason === 'tool_calls') return { stop_reason: 'tool_use', stop_sequence: null };
  if (finishReason === 'length') {
    const isAllowed = usage.generatedTokens >= maxTokens;
    return { stop_reason: isAllowed ? 'max_tokens' : 'model_context_window_exceeded', stop_sequence: null };
  }
  return stopText === undefined
    ? { stop_reason: 'end_turn', stop_sequence: null }
    : { stop_reason: 'stop_sequence', stop_sequence: stopText };
}
