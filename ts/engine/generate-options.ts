/** The options of one generation: checked, completed, and in the terms of the core. */
import {
  checkBoolean,
  checkChoice,
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
  | 'priority'
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

/** What the checks must know of an engine. */
export interface GenerateContext {
  /** Ids of the model. */
  vocabSize: number;
  /** Of the next request that names no seed. */
  nextSeed: () => number;
}

const known = [
  'maxTokens',
  'temperature',
  'topK',
  'topP',
  'minP',
  'repetitionPenalty',
  'presencePenalty',
  'frequencyPenalty',
  'logitBias',
  'topLogprobs',
  'seed',
  'stop',
  'ignoreEos',
  'cacheSalt',
  'priority',
  'signal',
  'onPrefill',
] as const satisfies readonly (keyof GenerateOptions)[];

const maxStops = 16;
const maxStopChars = 1024;
const maxSaltChars = 256;
const maxBiases = 1024;
const maxBias = 100;
const penalty = { min: -2, max: 2 };
const maxInt32 = 2 ** 31 - 1;

/**
 * @param others options that the caller checks itself.
 * @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD
 */
export function checkGenerateOptions(
  options: GenerateOptions,
  context: GenerateContext,
  others: readonly string[] = [],
): FullGenerateOptions {
  checkFields('options', options, [...known, ...others]);
  const { maxTokens, topLogprobs } = options;
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
      repetitionPenalty: checkNumber('repetitionPenalty', options.repetitionPenalty, 1, {
        min: 0.1,
        max: 10,
      }),
      presencePenalty: checkNumber('presencePenalty', options.presencePenalty, 0, penalty),
      frequencyPenalty: checkNumber('frequencyPenalty', options.frequencyPenalty, 0, penalty),
      ...checkLogitBias(options.logitBias, context.vocabSize),
      topLogprobs:
        topLogprobs === undefined ? -1 : checkInteger('topLogprobs', topLogprobs, 0, { min: 0, max: 20 }),
      seed: options.seed === undefined ? context.nextSeed() : checkSeed(options.seed),
      cacheSalt: checkText('cacheSalt', options.cacheSalt, '', maxSaltChars),
      priority: checkChoice('priority', options.priority, 'normal', ['high', 'normal', 'low']),
    },
    stop: checkStop(options.stop),
    signal: checkSignal('signal', options.signal),
    onPrefill: checkObserver('onPrefill', options.onPrefill),
  };
}

/** @throws StompError INVALID_REQUEST */
export function checkSeed(value: unknown): number {
  return checkInteger('seed', value, 0, { min: 0, max: Number.MAX_SAFE_INTEGER });
}

function checkLogitBias(value: unknown, vocabSize: number): Pick<Sampling, 'biasIds' | 'biases'> {
  const entries = biasEntries(value ?? {}, vocabSize);
  return {
    biasIds: Int32Array.from(entries, ([id]) => Number(id)),
    biases: Float32Array.from(entries, ([, bias]) => bias),
  };
}

function biasEntries(value: unknown, vocabSize: number): [string, number][] {
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
  const entries = isObject ? Object.entries(value) : [];
  const fits = ([id, bias]: [string, unknown]) =>
    /^\d{1,9}$/.test(id) && Number(id) < vocabSize && typeof bias === 'number' && Math.abs(bias) <= maxBias;
  const misfit = entries.find((entry) => !fits(entry));
  if (isObject && entries.length <= maxBiases && !misfit) return entries;
  const field = misfit ? `logitBias[${misfit[0]}]` : 'logitBias';
  const allowed =
    `an object of up to ${maxBiases} token ids below ${vocabSize}, ` +
    `each with a number from -${maxBias} to ${maxBias}`;
  return refuse(field, misfit ? misfit[1] : value, allowed);
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
