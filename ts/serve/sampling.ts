/** The fields that say how tokens are chosen, as OpenAI names them, with this engine's own beside them. */
import type { GenerateOptions } from '../engine/types.js';
import type { Fields } from './fields.js';

/** Longest answer anybody can ask for; the context is the real limit. */
const MAX_TOKENS = 16_777_216;
const MAX_STOPS = 16;
const MAX_STOP_LENGTH = 1024;

/** Only what was given is set. @throws StompError INVALID_REQUEST */
export function readSampling(fields: Fields): GenerateOptions {
  const options: GenerateOptions = {};
  set(options, 'maxTokens', maxTokens(fields));
  set(options, 'temperature', fields.number('temperature', { min: 0, max: 2 }));
  set(options, 'topP', topP(fields));
  set(options, 'topK', fields.number('top_k', { min: 0, max: 1_000_000, integer: true }));
  set(options, 'minP', fields.number('min_p', { min: 0, max: 1 }));
  set(options, 'seed', fields.number('seed', { min: 0, max: Number.MAX_SAFE_INTEGER, integer: true }));
  set(options, 'stop', stops(fields));
  set(options, 'ignoreEos', fields.flag('ignore_eos'));
  set(options, 'cacheSalt', fields.text('cache_salt'));
  return options;
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

function stops(fields: Fields): readonly string[] | undefined {
  const list = fields.texts('stop');
  const fits = list?.every((text) => text !== '' && text.length <= MAX_STOP_LENGTH);
  if (list === undefined || (fits && list.length <= MAX_STOPS)) return list;
  const allowed = `at most ${MAX_STOPS} texts of 1 to ${MAX_STOP_LENGTH} characters`;
  throw fields.invalid('stop', list, allowed);
}
