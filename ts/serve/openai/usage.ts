/** Token counts as OpenAI words them. Pure. */
import type { Usage } from '../../engine/types.js';

/**
 * Prompts are counted once however many answers they get; `prompt_tokens_details` says what the cache did for
 * them. REQUIRES: at least one answer.
 * @param prompts of each prompt, the usage of its first answer.
 * @param answers of every answer.
 */
export function usageBody(
  prompts: readonly Usage[],
  answers: readonly Usage[],
  reasoningTokens?: number,
): object {
  const promptTokens = sum(prompts, 'promptTokens');
  const generatedTokens = sum(answers, 'generatedTokens');
  const missReason = prompts.find((usage) => usage.missReason !== '')?.missReason;
  return {
    prompt_tokens: promptTokens,
    completion_tokens: generatedTokens,
    total_tokens: promptTokens + generatedTokens,
    prompt_tokens_details: {
      cached_tokens: sum(prompts, 'cachedTokens'),
      computed_tokens: sum(prompts, 'computedTokens'),
      shared_tokens: sum(prompts, 'sharedTokens'),
      restored_tokens: sum(prompts, 'restoredTokens'),
      miss_reason: missReason ?? null,
    },
    ...(reasoningTokens === undefined
      ? {}
      : { completion_tokens_details: { reasoning_tokens: reasoningTokens } }),
  };
}

type Count =
  | 'promptTokens'
  | 'cachedTokens'
  | 'computedTokens'
  | 'generatedTokens'
  | 'sharedTokens'
  | 'restoredTokens';

function sum(usages: readonly Usage[], count: Count): number {
  return usages.reduce((total, usage) => total + usage[count], 0);
}
