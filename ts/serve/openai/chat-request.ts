/** The body of OpenAI's chat completions: what is served, and what is refused by name. Pure. */
import type { ChatMessage, GenerateOptions } from '../../engine/types.js';
import { Fields, type Neutral } from '../fields.js';
import { readSampling } from '../sampling.js';
import { readMessages } from './messages.js';

export interface ChatRequest {
  readonly model: string | undefined;
  readonly messages: readonly ChatMessage[];
  readonly options: GenerateOptions;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  readonly sessionId: string | undefined;
}

/** Fields of the protocol that are not served, with the values that ask for nothing. */
const UNSUPPORTED: Readonly<Record<string, Neutral>> = {
  n: is(1),
  tools: isEmpty,
  tool_choice: is('none', 'auto'),
  parallel_tool_calls: is(true, false),
  functions: isEmpty,
  function_call: is('none', 'auto'),
  response_format: isTextFormat,
  logprobs: is(false),
  top_logprobs: is(0),
  logit_bias: isEmpty,
  presence_penalty: is(0),
  frequency_penalty: is(0),
  modalities: (value) => JSON.stringify(value) === '["text"]',
  audio: is(),
  prediction: is(),
  reasoning_effort: is(),
  verbosity: is(),
  web_search_options: is(),
  metadata: isEmpty,
  store: is(false),
  service_tier: is('auto', 'default'),
  moderation: is(),
  prompt_cache_key: is(),
  prompt_cache_retention: is(),
};

/** @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD */
export function readChatRequest(body: unknown): ChatRequest {
  const fields = new Fields(body);
  const model = fields.text('model');
  const messages = readMessages(fields);
  const options = readSampling(fields);
  const stream = fields.flag('stream') ?? false;
  const includeUsage = readStreamOptions(fields, stream);
  const sessionId = fields.text('session_id');
  // Identifiers of an end user, for the provider's own records: there are none here to keep.
  fields.text('user');
  fields.text('safety_identifier');
  fields.refuse(UNSUPPORTED);
  fields.end();
  return { model, messages, options, stream, includeUsage, sessionId };
}

function readStreamOptions(fields: Fields, stream: boolean): boolean {
  const raw = fields.raw('stream_options');
  if (raw === undefined) return false;
  if (!stream) throw fields.invalid('stream_options', raw, 'left out unless "stream" is true');
  const inner = new Fields(raw, fields.name('stream_options'));
  const includeUsage = inner.flag('include_usage') ?? false;
  inner.refuse({ include_obfuscation: is(false) });
  inner.end();
  return includeUsage;
}

function is(...neutral: readonly unknown[]): Neutral {
  return (value) => neutral.includes(value);
}

function isEmpty(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}

function isTextFormat(value: unknown): boolean {
  return JSON.stringify(value) === '{"type":"text"}';
}
