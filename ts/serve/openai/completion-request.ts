/** The body of OpenAI's completions: raw prompts, without a chat template. Pure. */
import type { GenerateOptions } from '../../engine/types.js';
import { Fields } from '../fields.js';
import { readSampling } from '../sampling.js';
import { MAX_CHOICES, readEndUser } from './chat-request.js';
import { readStreamOptions, type StreamOptions } from './stream-options.js';

/** A text, or ids of tokens. */
export type RawPrompt = string | readonly number[];

export interface CompletionRequest extends StreamOptions {
  readonly model: string | undefined;
  readonly prompts: readonly [RawPrompt, ...RawPrompt[]];
  readonly options: GenerateOptions;
  /** How many answers to each prompt. */
  readonly choices: number;
  /** The prompt stands before each answer. */
  readonly echo: boolean;
  readonly sessionId: string | undefined;
}

/** As OpenAI has it. */
const DEFAULT_MAX_TOKENS = 16;
const MAX_PROMPTS = 128;
/** Answers to all prompts together. */
const MAX_ANSWERS = 128;
const MAX_LOGPROBS = 5;
const PROMPT_ALLOWED = `a text, a list of token ids, or a list of 1 to ${MAX_PROMPTS} such prompts`;

/** @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD */
export function readCompletionRequest(body: unknown): CompletionRequest {
  const fields = new Fields(body);
  const model = fields.text('model');
  const prompts = readPrompts(fields);
  const options: GenerateOptions = { maxTokens: DEFAULT_MAX_TOKENS, ...readSampling(fields) };
  const topLogprobs = fields.number('logprobs', { min: 0, max: MAX_LOGPROBS, integer: true });
  if (topLogprobs !== undefined) options.topLogprobs = topLogprobs;
  const choices = readChoices(fields, prompts.length);
  const echo = fields.flag('echo') ?? false;
  if (echo && topLogprobs !== undefined) throw fields.unsupported('echo', ' together with "logprobs"');
  const streamOptions = readStreamOptions(fields);
  const sessionId = fields.text('session_id');
  readEndUser(fields);
  fields.refuse({ suffix: (value) => value === '' });
  fields.end();
  return { model, prompts, options, choices, echo, sessionId, ...streamOptions };
}

function readChoices(fields: Fields, prompts: number): number {
  const choices = fields.number('n', { min: 1, max: MAX_CHOICES, integer: true }) ?? 1;
  if (choices * prompts > MAX_ANSWERS) {
    throw fields.invalid('n', choices, `so low that there are at most ${MAX_ANSWERS} answers to all prompts`);
  }
  const candidates = fields.number('best_of', { min: 1, max: 20, integer: true }) ?? choices;
  if (candidates < choices) throw fields.invalid('best_of', candidates, 'at least "n"');
  if (candidates > choices) throw fields.unsupported('best_of', ' above "n"');
  return choices;
}

function readPrompts(fields: Fields): readonly [RawPrompt, ...RawPrompt[]] {
  const raw = fields.raw('prompt');
  if (raw === undefined) throw fields.missing('prompt', PROMPT_ALLOWED);
  if (isPrompt(raw)) return [raw];
  const list: readonly unknown[] = Array.isArray(raw) ? raw : [];
  const [first, ...others] = list;
  const kind = typeof first;
  const fits = isPrompt(first) && others.every((other) => typeof other === kind && isPrompt(other));
  if (!fits || list.length > MAX_PROMPTS) throw fields.invalid('prompt', raw, PROMPT_ALLOWED);
  return [first, ...(others as RawPrompt[])];
}

/** Whether the model has these ids, the engine knows. */
function isPrompt(value: unknown): value is RawPrompt {
  if (typeof value === 'string') return true;
  return Array.isArray(value) && value.length > 0 && value.every((id) => Number.isInteger(id));
}
