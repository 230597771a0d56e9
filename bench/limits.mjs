// What the machine allows at most, case by case, from the model's sizes and the ceilings measured in the same run. A
// limit is optimistic: perfect overlap, nothing but weights, cache and multiply-adds. Pure.
//
//   decode step of R sequences   bytes = weights + kvBytesPerToken * (tokens read; a shared prefix counts once)
//                                ops   = R * 2 * (layerParams + headParams) + sum of attention(context)
//   attention(context)           4 * layers * heads * headDim * context: scores and values, 2 operations each
//   prefill of n tokens          bytes = weights
//                                ops   = n * 2 * layerParams + 2 * headParams + attention(n (n + 1) / 2)
//   time                         max(bytes / read rate, ops / peak)
import { agentsAt2K, answerOf, answerTokens, promptTokens, tailTokens } from './workload.mjs';

/**
 * @typedef {object} Facts
 * @property {number} weightsBytes
 * @property {number} kvBytesPerToken all layers, keys and values
 * @property {number} layers
 * @property {number} heads
 * @property {number} headDim
 * @property {number} layerParams weights of all layers' matrices
 * @property {number} headParams weights of the output matrix
 */

/** @typedef {Record<string, number>} Ceilings by name as native/ceilings.cc prints them, in GB/s and GOP/s */

const attentionOps = (facts, context) => 4 * facts.layers * facts.heads * facts.headDim * context;

function fastest(ceilings, names) {
  const [name] = names.filter((n) => ceilings[n] > 0).sort((a, b) => ceilings[b] - ceilings[a]);
  if (!name) throw new Error(`no ceiling among ${names.join(', ')} was measured`);
  return { name, perSecond: ceilings[name] * 1e9 };
}

const reads = (ceilings) => fastest(ceilings, ['read model size', 'read memory']);

/** Of few rows: vector instructions; tiles pay from some dozens of rows on. */
const decodePeak = (ceilings, avx2) =>
  fastest(ceilings, avx2 ? ['int8 dot avx2'] : ['int8 dot vnni', 'int8 dot avx2', 'int8 dot neon']);

function prefillPeak(ceilings, avx2) {
  if (!avx2 && ceilings['amx bf16'] > 0) return fastest(ceilings, ['amx bf16']);
  return decodePeak(ceilings, avx2);
}

function longer(bytes, read, ops, peak) {
  const byBytes = bytes / read.perSecond;
  const byOps = ops / peak.perSecond;
  return byBytes >= byOps ? { name: read.name, seconds: byBytes } : { name: peak.name, seconds: byOps };
}

/**
 * One step that gives every sequence a token.
 * @param {Facts} facts
 * @param {Ceilings} ceilings
 * @param {{ sequences: number, context: number, shared?: number, avx2?: boolean }} step context: tokens a sequence
 *   attends to; shared: how many of them are the same for all
 */
export function decodeLimit(facts, ceilings, { sequences, context, shared = 0, avx2 = false }) {
  const tokens = shared + sequences * (context - shared);
  const bytes = facts.weightsBytes + facts.kvBytesPerToken * tokens;
  const dense = 2 * (facts.layerParams + facts.headParams);
  const ops = sequences * (dense + attentionOps(facts, context));
  return longer(bytes, reads(ceilings), ops, decodePeak(ceilings, avx2));
}

/**
 * @param {Facts} facts
 * @param {Ceilings} ceilings
 * @param {{ tokens: number, avx2?: boolean }} prompt
 */
export function prefillLimit(facts, ceilings, { tokens, avx2 = false }) {
  const ops =
    tokens * 2 * facts.layerParams + 2 * facts.headParams + attentionOps(facts, (tokens * (tokens + 1)) / 2);
  return longer(facts.weightsBytes, reads(ceilings), ops, prefillPeak(ceilings, avx2));
}

/** What a decode case is made of; undefined for others. */
function decodeShape(name) {
  const { short } = promptTokens;
  const middle = (prompt, answer) => prompt + answer / 2;
  if (name === 'decode short') return { sequences: 1, context: middle(short, answerTokens.alone) };
  const at = name.match(/^decode at (\w+)$/);
  if (at) return { sequences: 1, context: middle(promptTokens[at[1]], answerTokens.context) };
  const sum = name.match(/^sum over (\d+)$/);
  if (sum) {
    const n = Number(sum[1]);
    return { sequences: n, context: middle(short, answerOf(n)) };
  }
  const long = name.match(/^sum over \d+ at 2K (private|shared)$/);
  if (!long) return undefined;
  const context = middle(promptTokens['2K'], answerTokens.many);
  return {
    sequences: agentsAt2K,
    context,
    shared: long[1] === 'shared' ? promptTokens['2K'] - tailTokens : 0,
  };
}

function prefillTokens(name) {
  const rate = name.match(/^prefill (\d+)$/);
  if (rate) return Number(rate[1]);
  const cold = name.match(/^first token cold (\w+)$/);
  return cold ? promptTokens[cold[1]] : undefined;
}

/**
 * The best possible figure of a case, in the case's own unit.
 * @param {string} name
 * @param {Facts} facts
 * @param {Ceilings} ceilings
 * @returns {{ name: string, value: number } | undefined} undefined where no limit is counted
 */
export function limitOf(name, facts, ceilings, avx2 = false) {
  const shape = decodeShape(name);
  if (shape) {
    const limit = decodeLimit(facts, ceilings, { ...shape, avx2 });
    return { name: limit.name, value: shape.sequences / limit.seconds };
  }
  const tokens = prefillTokens(name);
  if (tokens === undefined) return undefined;
  const limit = prefillLimit(facts, ceilings, { tokens, avx2 });
  const value = name.startsWith('prefill') ? tokens / limit.seconds : limit.seconds * 1e3;
  return { name: limit.name, value };
}
