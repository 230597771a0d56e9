/** The fields that say how tokens are chosen, as OpenAI names them, with this engine's own beside them. */
import type { GenerateOptions } from '../engine/types.js';
import type { Fields } from './fields.js';

/** Longest answer anybody can ask for; the context is the real limit. */
const MAX_TOKENS = 16_777_216;
const MAX_STOPS = 16;
const MAX_STOP_LENGTH = 1024;
const MAX_BIASES = 1024;
const MAX_SALT_LENGTH = 256;
const PRIORITIES = ['high', 'normal', 'low'] as const;
const PENALTY = { min: -2, max: 2 };

/** Only what was given is set. @throws StompError INVALID_REQUEST */
export function readSampling(fields: Fields): GenerateOptions {
  const options: GenerateOptions = {};
  set(options, 'maxTokens', maxTokens(fields));
  set(options, 'temperature', fields.number('temperature', { min: 0, max: 2 }));
  set(options, 'topP', topP(fields));
  set(options, 'topK', fields.number('top_k', { min: 0, max: 1_000_000, integer: true }));
  set(options, 'minP', fields.number('min_p', { min: 0, max: 1 }));
  set(options, 'repetitionPenalty', fields.number('repetition_penalty', { min: 0.1, max: 10 }));
  set(options, 'presencePenalty', fields.number('presence_penalty', PENALTY));
  set(options, 'frequencyPenalty', fields.number('frequency_penalty', PENALTY));
  set(options, 'logitBias', logitBias(fields));
  set(options, 'seed', fields.number('seed', { min: 0, max: Number.MAX_SAFE_INTEGER, integer: true }));
  set(options, 'stop', stops(fields));
  set(options, 'ignoreEos', fields.flag('ignore_eos'));
  set(options, 'cacheSalt', readCacheSalt(fields));
  set(options, 'priority', fields.choice('priority', PRIORITIES));
  return options;
}

/**
 * The options of one of several answers to one prompt: each draws with a seed of its own, the first with the
 * one that was given.
 */
export function optionsOfChoice<T extends GenerateOptions>(options: T, choice: number): T {
  if (choice === 0 || options.seed === undefined) return options;
  const room = Number.MAX_SAFE_INTEGER - options.seed;
  return { ...options, seed: choice <= room ? options.seed + choice : choice - room - 1 };
}

function set<K extends keyof GenerateOptions>(
  options: GenerateOptions,
  key: K,
  value: GenerateOptions[K] | undefined,
): void {
  if (value !== undefined) options[key] = value;
}

/** OpenAI renamed `max_tokens`; clients send either. */
function maxTokens(fields: Fields): number | undefined {
  const range = { min: 1, max: MAX_TOKENS, integer: true };
  const newName = fields.number('max_completion_tokens', range);
  const oldName = fields.number('max_tokens', range);
  if (newName !== undefined && oldName !== undefined && newName !== oldName) {
    throw fields.invalid('max_tokens', oldName, 'left out when max_completion_tokens is given');
  }
  return newName ?? oldName;
}

function topP(fields: Fields): number | undefined {
  const value = fields.number('top_p', { min: 0, max: 1 });
  if (value === 0) throw fields.invalid('top_p', value, 'a number above 0, to 1');
  return value;
}

/** Keeps caches apart. @throws StompError INVALID_REQUEST */
export function readCacheSalt(fields: Fields): string | undefined {
  const salt = fields.text('cache_salt');
  if (salt === undefined || salt.length <= MAX_SALT_LENGTH) return salt;
  throw fields.invalid('cache_salt', salt, `a text of at most ${MAX_SALT_LENGTH} characters`);
}

/** Token ids arrive as names of members. Nothing to add is nothing asked. */
function logitBias(fields: Fields): Record<number, number> | undefined {
  const value = fields.raw('logit_bias');
  if (value === undefined) return undefined;
  const allowed = `an object of at most ${MAX_BIASES} token ids with numbers from -100 to 100`;
  if (typeof value !== 'object' || Array.isArray(value)) throw fields.invalid('logit_bias', value, allowed);
  const entries = Object.entries(value as Record<string, unknown>);
  if (entries.length > MAX_BIASES || !entries.every(isBias))
    throw fields.invalid('logit_bias', value, allowed);
  if (entries.length === 0) return undefined;
  return Object.fromEntries(entries.map(([id, bias]) => [Number(id), Number(bias)]));
}

function isBias([id, bias]: readonly [string, unknown]): boolean {
  return /^(0|[1-9]\d{0,8})$/.test(id) && typeof bias === 'number' && Math.abs(bias) <= 100;
}

function stops(fields: Fields): readonly string[] | undefined {
  const list = fields.texts('stop');
  const fits = list?.every((text) => text !== '' && text.length <= MAX_STOP_LENGTH);
  if (list === undefined || (fits && list.length <= MAX_STOPS)) return list;
  const allowed = `at most ${MAX_STOPS} texts of 1 to ${MAX_STOP_LENGTH} characters`;
  throw fields.invalid('stop', list, allowed);
}
