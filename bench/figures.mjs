// From samples to figures: the best variant's median of every side and case. Pure.
import { unshared } from './cases.mjs';
import { limitOf } from './limits.mjs';
import { better, ratio, summary } from './statistics.mjs';

/** @typedef {import('./csv.mjs').Sample} Sample */

/**
 * @typedef {object} Figure
 * @property {string} name
 * @property {string} unit
 * @property {string} side
 * @property {string} variant the one that was best
 * @property {number} trials
 * @property {number} median
 * @property {number} low
 * @property {number} high
 */

/** The side of the ceilings, see native/ceilings.cc. */
export const machineSide = 'machine';

const kinds = [/^prefill/, /^decode short$/, /^decode/, /^sum over \d+$/, /^sum/, /^first token/, /./];

/** Cases in the order that a reader expects: by kind, then by size. */
function inOrder(names) {
  const kind = (name) => kinds.findIndex((pattern) => pattern.test(name));
  const inTokens = (name) => name.replace(/(\d+)K/g, (_, k) => String(1024 * Number(k)));
  return names.sort(
    (a, b) => kind(a) - kind(b) || inTokens(a).localeCompare(inTokens(b), 'en', { numeric: true }),
  );
}

/**
 * @param {Sample[]} samples
 * @returns {Figure[]} one per case and side
 */
export function figuresOf(samples) {
  /** @type {Map<string, Map<string, Sample[]>>} case and side, then variant */
  const sorted = new Map();
  for (const s of samples.filter(({ side }) => side !== machineSide)) {
    const key = JSON.stringify([s.name, s.side]);
    const variants = sorted.get(key) ?? new Map();
    sorted.set(key, variants.set(s.variant, [...(variants.get(s.variant) ?? []), s]));
  }
  return [...sorted.values()].map((variants) =>
    [...variants.values()].map(figure).reduce((a, b) => (better(b.unit, b.median, a.median) ? b : a)),
  );
}

/** @param {Sample[]} group samples of one case, side and variant @returns {Figure} */
function figure(group) {
  const { name, unit, side, variant } = group[0];
  return { name, unit, side, variant, trials: group.length, ...summary(group.map((s) => s.value)) };
}

/**
 * A ceiling is the highest rate that any trial saw.
 * @param {Sample[]} samples
 * @returns {Record<string, number>}
 */
export function ceilingsOf(samples) {
  /** @type {Record<string, number>} */
  const highest = {};
  for (const { name, value } of samples.filter(({ side }) => side === machineSide)) {
    highest[name] = Math.max(value, highest[name] ?? 0);
  }
  return highest;
}

/** The model's sizes as the head of a CSV has them; undefined in a file without them. */
export function factsOf(about) {
  const names = [
    'weightsBytes',
    'kvBytesPerToken',
    'layers',
    'heads',
    'headDim',
    'layerParams',
    'headParams',
  ];
  if (names.some((name) => !(Number(about[name]) > 0))) return undefined;
  return Object.fromEntries(names.map((name) => [name, Number(about[name])]));
}

export class Results {
  /** @param {{ about: Record<string, string | number>, samples: Sample[] }} run */
  constructor({ about, samples }) {
    this.about = about;
    this.figures = figuresOf(samples);
    this.ceilings = ceilingsOf(samples);
    this.facts = factsOf(about);
    this.sides = [...new Set(this.figures.map(({ side }) => side))];
    this.cases = inOrder([...new Set(this.figures.map(({ name }) => name))]);
  }

  /**
   * A side's figure; of a side that shares nothing, the unshared case answers for the shared one.
   * @returns {Figure | undefined}
   */
  figure(side, name) {
    const find = (wanted) => this.figures.find((f) => f.side === side && f.name === wanted);
    return find(name) ?? (side.startsWith('stomp-serve') ? undefined : find(unshared[name]));
  }

  /** The rival that is best at a case. */
  rival(name) {
    const rivals = this.sides.filter((side) => !side.startsWith('stomp-serve'));
    return rivals
      .map((side) => this.figure(side, name))
      .filter((f) => f !== undefined)
      .reduce((a, b) => (a && !better(b.unit, b.median, a.median) ? a : b), undefined);
  }

  /** How many times better we are than node-llama-cpp; undefined while one of the two is missing. */
  ratio(name, side = 'stomp-serve') {
    const ours = this.figure(side, name);
    const theirs = this.figure('node-llama-cpp', name);
    return ours && theirs ? ratio(ours.unit, ours.median, theirs.median) : undefined;
  }

  /** How much of what the machine allows a side reaches, and what bounds it. */
  share(side, name) {
    const ours = this.figure(side, name);
    if (!ours || !this.facts || Object.keys(this.ceilings).length === 0) return undefined;
    const limit = limitOf(name, this.facts, this.ceilings, side === 'stomp-serve avx2');
    if (!limit) return undefined;
    return { limit: limit.name, value: limit.value, share: ratio(ours.unit, ours.median, limit.value) };
  }
}
