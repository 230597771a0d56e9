/** Answers in the shape of OpenAI's chat completions, with the agent's name beside. */
import type {
  FinishReason,
  GenerationChunk,
  GenerationResult,
  TokenLogprob,
  ToolCall,
  ToolCallChunk,
} from '../../engine/types.js';
import type { SseEvent } from '../sse.js';
import type { AnswerFormat } from '../turn.js';
import { errorBody } from '../wire-errors.js';
import type { AnswerFacts } from './answer-facts.js';
import { chatLogprobs, type TokenBytes } from './logprobs.js';
import { obfuscated } from './stream-options.js';
import { usageBody } from './usage.js';

export interface ChatAnswerFacts extends AnswerFacts {
  /** How many answers. */
  readonly choices: number;
  /** Log-probabilities were asked for. */
  readonly logprobs: boolean;
  readonly includeUsage: boolean;
  readonly obfuscate: boolean;
  readonly namesTier: boolean;
  readonly tokenizer: TokenBytes;
}

interface Delta {
  role?: 'assistant';
  content?: string;
  reasoning_content?: string;
  tool_calls?: readonly [object];
}

export function chatFormat(facts: ChatAnswerFacts): AnswerFormat {
  const { choices, logprobs } = facts;
  let reasoningTokens = 0;
  const usage = (results: readonly GenerationResult[]) => {
    const usages = results.map((result) => result.usage);
    return usageBody(usages.slice(0, 1), usages, reasoningTokens);
  };
  return {
    seen: (piece) => {
      if (piece.type === 'reasoning') reasoningTokens += piece.tokens.length;
    },
    whole: (results) => ({
      ...envelope(facts, 'chat.completion'),
      choices: results.map((result, index) => ({
        index,
        message: message(result),
        logprobs: logprobs ? chatLogprobs(result.logprobs, facts.tokenizer) : null,
        finish_reason: result.finishReason,
      })),
      usage: usage(results),
    }),
    opening: () =>
      Array.from({ length: choices }, (_, index) => chunk(facts, index, { role: 'assistant', content: '' })),
    piece: (piece, index) => pieceChunks(facts, piece, index),
    ended: (result, index) => [chunk(facts, index, {}, [], result.finishReason)],
    closing: (results) => [...(facts.includeUsage ? [usageChunk(facts, usage(results))] : []), DONE],
    failure: (error) => ({ data: { ...errorBody(error), agent_id: facts.agentId } }),
  };
}

/** Ends every stream that has not failed. */
export const DONE: SseEvent = { data: '[DONE]' };

/** No text beside calls is null, as clients expect it. */
function message({ text, reasoning, toolCalls }: GenerationResult): object {
  return {
    role: 'assistant',
    content: text === '' && toolCalls.length > 0 ? null : text,
    refusal: null,
    ...(reasoning === '' ? {} : { reasoning_content: reasoning }),
    ...(toolCalls.length === 0 ? {} : { tool_calls: toolCalls.map(wholeCall) }),
  };
}

function wholeCall({ id, name, arguments: text }: ToolCall): object {
  return { id, type: 'function', function: { name, arguments: text } };
}

/** Log-probabilities come once, with the first delta that a piece makes. */
function pieceChunks(facts: ChatAnswerFacts, piece: GenerationChunk, index: number): SseEvent[] {
  const logprobs = piece.logprobs ?? [];
  const made = deltas(piece);
  const sent: Delta[] = made.length === 0 && logprobs.length > 0 ? [{ content: '' }] : made;
  return sent.map((delta, i) => chunk(facts, index, delta, i === 0 ? logprobs : []));
}

function deltas(piece: GenerationChunk): Delta[] {
  if (piece.type === 'tool_call') return callDeltas(piece);
  if (piece.text === '') return [];
  return [piece.type === 'text' ? { content: piece.text } : { reasoning_content: piece.text }];
}

/** The first delta of a call names it; arguments follow in deltas of their own. */
function callDeltas({ index, id, name, arguments: text }: ToolCallChunk): Delta[] {
  const named = { index, id, type: 'function', function: { name, arguments: '' } };
  return [
    ...(id === undefined ? [] : [{ tool_calls: [named] as const }]),
    ...(text === '' ? [] : [{ tool_calls: [{ index, function: { arguments: text } }] as const }]),
  ];
}

function chunk(
  facts: ChatAnswerFacts,
  index: number,
  delta: Delta,
  logprobs: readonly TokenLogprob[] = [],
  finishReason: FinishReason | null = null,
): SseEvent {
  const data = {
    ...envelope(facts, 'chat.completion.chunk'),
    choices: [
      {
        index,
        delta,
        logprobs: logprobs.length > 0 ? chatLogprobs(logprobs, facts.tokenizer) : null,
        finish_reason: finishReason,
      },
    ],
    ...(facts.includeUsage ? { usage: null } : {}),
  };
  return { data: facts.obfuscate ? obfuscated(data) : data };
}

function usageChunk(facts: ChatAnswerFacts, usage: object): SseEvent {
  return { data: { ...envelope(facts, 'chat.completion.chunk'), choices: [], usage } };
}

function envelope(facts: ChatAnswerFacts, object: string): object {
  return {
    id: facts.id,
    object,
    created: facts.created,
    model: facts.model,
    system_fingerprint: facts.fingerprint,
    ...(facts.namesTier ? { service_tier: 'default' } : {}),
    agent_id: facts.agentId,
  };
}
