// The targets, as ratios of one run. Pure.
import { dips, ratio } from './statistics.mjs';

/**
 * @typedef {object} Check
 * @property {string} name
 * @property {number | undefined} value undefined: its cases were not measured
 * @property {number} target
 * @property {boolean} below the value has to stay below the target, not reach it
 * @property {boolean | undefined} ok
 */

/** @typedef {import('./figures.mjs').Results} Results */

const against = [
  ['prefill 512', 3.5],
  ['prefill 2048', 2.5],
  ['decode short', 1.4],
  ['decode at 2K', 3],
  ['sum over 8', 6],
  ['sum over 8 at 2K private', 3],
  ['sum over 8 at 2K shared', 6],
];

const againstWithAvx2 = [
  ['decode short', 1.1],
  ['sum over 8', 2.5],
];

/** @returns {Check} */
function atLeast(name, value, target) {
  return { name, value, target, below: false, ok: value === undefined ? undefined : value >= target };
}

/** @returns {Check} */
function under(name, value, target) {
  return { name, value, target, below: true, ok: value === undefined ? undefined : value < target };
}

/** @param {Results} results */
function within(results, better, worse) {
  const a = results.figure('stomp-serve', better);
  const b = results.figure('stomp-serve', worse);
  return a && b ? ratio(a.unit, a.median, b.median) : undefined;
}

/** @param {Results} results */
function batchSizes(results) {
  const sizes = results.cases.filter((name) => /^sum over \d+$/.test(name));
  if (sizes.length < 2) return undefined;
  const rates = sizes.flatMap((name) => {
    const found = results.figure('stomp-serve', name);
    return found ? [{ size: Number(name.split(' ')[2]), rate: found.median }] : [];
  });
  return dips(rates).length;
}

/** @param {Results} results @returns {Check[]} */
export function checksOf(results) {
  const loop = results.figure('stomp-serve', 'event loop p99')?.median;
  return [
    ...against.map(([name, target]) =>
      atLeast(`${name}, ours / node-llama-cpp`, results.ratio(name), target),
    ),
    ...againstWithAvx2.map(([name, target]) =>
      atLeast(`${name} with AVX2, ours / node-llama-cpp`, results.ratio(name, 'stomp-serve avx2'), target),
    ),
    atLeast('sum over 8 / decode alone, ours', within(results, 'sum over 8', 'sum over 1'), 3.3),
    under('batch sizes more than 3 % below a smaller one', batchSizes(results), 1),
    ...[
      ['2K', 20],
      ['6K', 50],
    ].map(([size, target]) =>
      atLeast(
        `first token ${size}, cold / restored, ours`,
        within(results, `first token restored ${size}`, `first token cold ${size}`),
        target,
      ),
    ),
    under('event loop p99 in ms, ours', loop, 5),
  ];
}
