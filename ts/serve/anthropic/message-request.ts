/** The body of `POST /v1/messages`: what is served, and what is refused by name. Pure. */
import type { GenerateOptions } from '../../engine/types.js';
import { Fields, type Neutral } from '../fields.js';
import { readCacheSalt } from '../sampling.js';
import { isEmptyList } from './content-blocks.js';
import { never, type PromptRequest, readPrompt } from './prompt-fields.js';

export interface MessageRequest extends PromptRequest {
  readonly sampling: GenerateOptions & { readonly maxTokens: number };
  readonly stream: boolean;
}

const UNSUPPORTED: Readonly<Record<string, Neutral>> = {
  container: never,
  diagnostics: never,
  fallback_credit_token: never,
  fallbacks: isEmptyList,
  inference_geo: never,
  thread: never,
};

const MAX_TOKENS = 16_777_216;
const MAX_STOPS = 16;
const MAX_STOP_LENGTH = 1024;

/** @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD */
export function readMessageRequest(body: unknown): MessageRequest {
  const fields = new Fields(body);
  const prompt = readPrompt(fields);
  const sampling = readSampling(fields);
  const stream = fields.flag('stream') ?? false;
  readMetadata(fields);
  fields.choice('service_tier', ['auto', 'standard_only']);
  fields.refuse(UNSUPPORTED);
  fields.end();
  return { ...prompt, sampling, stream };
}

/** @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD */
export function readCountRequest(body: unknown): PromptRequest {
  const fields = new Fields(body);
  const prompt = readPrompt(fields);
  fields.end();
  return prompt;
}

function readSampling(fields: Fields): MessageRequest['sampling'] {
  const options: GenerateOptions = {
    temperature: fields.number('temperature', { min: 0, max: 1 }),
    topP: fields.number('top_p', { min: 0, max: 1 }),
    topK: fields.number('top_k', { min: 0, max: 1_000_000, integer: true }),
    seed: fields.number('seed', { min: 0, max: Number.MAX_SAFE_INTEGER, integer: true }),
    stop: readStops(fields),
    cacheSalt: readCacheSalt(fields),
  };
  if (options.topP === 0) throw fields.invalid('top_p', 0, 'a number above 0, to 1');
  return { ...given(options), maxTokens: readMaxTokens(fields) };
}

function readMaxTokens(fields: Fields): number {
  if (fields.raw('max_tokens') === 0) throw fields.unsupported('max_tokens', ' with the value 0');
  const value = fields.number('max_tokens', { min: 1, max: MAX_TOKENS, integer: true });
  if (value === undefined) throw fields.missing('max_tokens', 'the longest answer in tokens');
  return value;
}

function readStops(fields: Fields): readonly string[] | undefined {
  const list = fields.array('stop_sequences');
  if (list === undefined || list.length === 0) return undefined;
  const fits = (text: unknown): text is string =>
    typeof text === 'string' && text !== '' && text.length <= MAX_STOP_LENGTH;
  if (list.length <= MAX_STOPS && list.every(fits)) return list as readonly string[];
  const allowed = `a list of at most ${MAX_STOPS} texts of 1 to ${MAX_STOP_LENGTH} characters`;
  throw fields.invalid('stop_sequences', list, allowed);
}

/** Names the end user for a provider's records: there are none here to keep. */
function readMetadata(fields: Fields): void {
  const raw = fields.raw('metadata');
  if (raw === undefined) return;
  const metadata = new Fields(raw, 'metadata');
  metadata.text('user_id');
  metadata.end();
}

function given(options: GenerateOptions): GenerateOptions {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}
