/** The options of one generation: checked, completed, and in the terms of the core. */
import { randomInt } from 'node:crypto';
import {
  checkBoolean,
  checkFields,
  checkInteger,
  checkNumber,
  checkObserver,
  checkSignal,
  checkText,
  refuse,
} from '../arguments.js';
import type { NativeRequest } from '../native.js';
import type { GenerateOptions, PrefillProgress } from './types.js';

/** How tokens are chosen, as the core takes it. */
export type Sampling = Pick<
  NativeRequest,
  | 'maxTokens'
  | 'ignoreEos'
  | 'temperature'
  | 'topK'
  | 'topP'
  | 'minP'
  | 'repetitionPenalty'
  | 'presencePenalty'
  | 'frequencyPenalty'
  | 'biasIds'
  | 'biases'
  | 'topLogprobs'
  | 'seed'
  | 'cacheSalt'
>;

/** What an answer must look like and say, as the core takes it. */
export type Guidance = Pick<NativeRequest, 'grammar' | 'reasoningEnd' | 'reasoningBudget' | 'script'>;

/** Where nothing is asked of an answer. */
export const plainRequest = {
  grammar: '',
  reasoningEnd: new Int32Array(0),
  reasoningBudget: 0,
  script: new Int32Array(0),
} as const satisfies Guidance;

export interface FullGenerateOptions {
  sampling: Sampling;
  stop: readonly string[];
  signal: AbortSignal | undefined;
  onPrefill: ((progress: PrefillProgress) => void) | undefined;
}

const known = [
  'maxTokens',
  'temperature',
  'topK',
  'topP',
  'minP',
  'seed',
  'stop',
  'ignoreEos',
  'cacheSalt',
  'signal',
  'onPrefill',
] as const satisfies readonly (keyof GenerateOptions)[];

const maxStops = 16;
const maxStopChars = 1024;
const maxSaltChars = 256;
const maxInt32 = 2 ** 31 - 1;

/**
 * @param others options that the caller checks itself.
 * @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD
 */
export function checkGenerateOptions(
  options: GenerateOptions,
  others: readonly string[] = [],
): FullGenerateOptions {
  checkFields('options', options, [...known, ...others]);
  const { maxTokens } = options;
  return {
    sampling: {
      // 0 means "no limit" to the core, which nobody should get by asking for nothing.
      maxTokens:
        maxTokens === undefined ? 0 : checkInteger('maxTokens', maxTokens, 0, { min: 1, max: maxInt32 }),
      ignoreEos: checkBoolean('ignoreEos', options.ignoreEos, false),
      temperature: checkNumber('temperature', options.temperature, 0, { min: 0, max: 2 }),
      topK: checkInteger('topK', options.topK, 0, { min: 0, max: maxInt32 }),
      topP: checkNumber('topP', options.topP, 1, { min: 0, max: 1, aboveMin: true }),
      minP: checkNumber('minP', options.minP, 0, { min: 0, max: 1 }),
      repetitionPenalty: 1,
      presencePenalty: 0,
      frequencyPenalty: 0,
      biasIds: new Int32Array(0),
      biases: new Float32Array(0),
      topLogprobs: -1,
      seed: checkInteger('seed', options.seed, randomInt(2 ** 47), { min: 0, max: Number.MAX_SAFE_INTEGER }),
      cacheSalt: checkText('cacheSalt', options.cacheSalt, '', maxSaltChars),
    },
    stop: checkStop(options.stop),
    signal: checkSignal('signal', options.signal),
    onPrefill: checkObserver('onPrefill', options.onPrefill),
  };
}

function checkStop(value: unknown): readonly string[] {
  if (value === undefined) return [];
  const stops: unknown[] = typeof value === 'string' ? [value] : Array.isArray(value) ? value : [value];
  const allowed = `up to ${maxStops} texts of 1 to ${maxStopChars} characters`;
  const fits = (stop: unknown): stop is string =>
    typeof stop === 'string' && stop.length > 0 && stop.length <= maxStopChars && isWhole(stop);
  return stops.length <= maxStops && stops.every(fits) ? stops : refuse('stop', value, allowed);
}

// Half a surrogate pair never comes out of a tokenizer.
function isWhole(text: string): boolean {
  return Buffer.from(text).toString() === text;
}
