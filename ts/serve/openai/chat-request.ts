/** The body of OpenAI's chat completions: what is served, and what is refused by name. Pure. */
import type { ChatMessage, ChatOptions } from '../../engine/types.js';
import { Fields, type Neutral } from '../fields.js';
import { readChatOptions } from './chat-options.js';
import { readMessages } from './messages.js';
import { readStreamOptions, type StreamOptions } from './stream-options.js';

export interface ChatRequest extends StreamOptions {
  readonly model: string | undefined;
  readonly messages: readonly ChatMessage[];
  readonly options: ChatOptions;
  /** How many answers. */
  readonly choices: number;
  readonly sessionId: string | undefined;
  /** Say in the answer which tier it came from. */
  readonly namesTier: boolean;
}

/** Answers to one request. */
export const MAX_CHOICES = 16;

/** Fields of the protocol that are not served, with the values that ask for nothing. */
const UNSUPPORTED: Readonly<Record<string, Neutral>> = {
  functions: isEmpty,
  function_call: is('none', 'auto'),
  modalities: (value) => JSON.stringify(value) === '["text"]',
  audio: is(),
  prediction: is(),
  verbosity: is('medium'),
  web_search_options: is(),
  metadata: isEmpty,
  store: is(false),
  service_tier: is('auto', 'default'),
  moderation: is(),
};

/** @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD */
export function readChatRequest(body: unknown): ChatRequest {
  const fields = new Fields(body);
  const model = fields.text('model');
  const messages = readMessages(fields);
  const options = readChatOptions(fields);
  const choices = fields.number('n', { min: 1, max: MAX_CHOICES, integer: true }) ?? 1;
  const streamOptions = readStreamOptions(fields);
  const sessionId = fields.text('session_id');
  const namesTier = fields.raw('service_tier') !== undefined;
  readCacheHints(fields);
  readEndUser(fields);
  fields.refuse(UNSUPPORTED);
  fields.end();
  return { model, messages, options, choices, sessionId, namesTier, ...streamOptions };
}

/** Identifiers of an end user, for the provider's own records: there are none here to keep. */
export function readEndUser(fields: Fields): void {
  fields.text('user');
  fields.text('safety_identifier');
}

/**
 * Hints to a cache that has to be told what to keep, and where. Here every prompt is looked up by its content and
 * kept while there is room, so that they are always fulfilled as far as they can be.
 */
function readCacheHints(fields: Fields): void {
  fields.text('prompt_cache_key');
  // The protocol has had both spellings.
  fields.choice('prompt_cache_retention', ['in_memory', 'in-memory', '24h']);
  const raw = fields.raw('prompt_cache_options');
  if (raw === undefined) return;
  const inner = new Fields(raw, fields.name('prompt_cache_options'));
  inner.choice('mode', ['implicit', 'explicit']);
  inner.text('ttl');
  inner.end();
}

function is(...neutral: readonly unknown[]): Neutral {
  return (value) => neutral.includes(value);
}

function isEmpty(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}
