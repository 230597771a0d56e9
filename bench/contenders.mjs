// Who is measured, in which variants, on which groups. A variant is one way to set a side up; each figure takes a
// side's best one.
import { llamaServer } from './llama-server/build.mjs';

/** Settings in words, for the table and the CSV. */
const words = (options) =>
  Object.entries(options)
    .map(([key, value]) => `${key}=${value}`)
    .join(' ');

/**
 * @typedef {object} Variant
 * @property {string} side
 * @property {string} name empty where a side has one variant
 * @property {string} module
 * @property {object} options
 * @property {Record<string, string>} env
 * @property {string[]} [groups] all, unless told
 * @property {number[]} [agents] sizes of the group `sum`; all, unless told
 */

/** @returns {Variant} */
const ours = (label, options, rest = {}) => ({
  side: label ? `stomp-serve ${label}` : 'stomp-serve',
  name: words(options),
  module: './sides/ours.mjs',
  options,
  env: {},
  ...rest,
});

/** One thread, and as many as there are: which suits depends on the case. */
const threadCounts = (threads) => (threads > 1 ? [threads, Math.max(1, threads >> 1)] : [1]);

function attentionAndThreads(threads, make) {
  return threadCounts(threads).flatMap((count) => [true, false].map((flash) => make(count, flash)));
}

const rivals = (threads, libuv) =>
  attentionAndThreads(threads, (count, flash) => ({
    side: 'node-llama-cpp',
    name: `flashAttention=${flash} threads=${count}`,
    module: './sides/rival.mjs',
    options: { threads: count, flash },
    env: { UV_THREADPOOL_SIZE: String(libuv) },
  }));

const servers = (threads, program, repack) =>
  attentionAndThreads(threads, (count, flash) => ({
    side: 'llama-server',
    name: `flash-attn=${flash ? 'on' : 'off'} threads=${count}${repack ? '' : ' no-repack'}`,
    module: './sides/llama-server.mjs',
    options: { program, threads: count, flash, repack },
    env: {},
    groups: ['decode', 'context', 'sum', 'sum-2k', 'prompt'],
  }));

/** `exact:numerics=exact,kvBits=8` as a side of its own. @throws Error that shows the form */
export function parseVariant(text) {
  const [label, list = ''] = text.split(':', 2);
  const pairs = list.split(',').map((pair) => pair.split('='));
  if (!label || pairs.some((pair) => pair.length !== 2 || !pair[0])) {
    throw new Error(`--variant ${text}: expected NAME:option=value,option=value`);
  }
  const value = (word) => (/^-?\d+$/.test(word) ? Number(word) : word);
  return { label, options: Object.fromEntries(pairs.map(([key, word]) => [key, value(word)])) };
}

/**
 * @param {{ threads: number, only?: string, variants: string[], llamaServer: boolean, uvThreads: number }} settings
 * @param {{ cpu: string, flags: string }} machine
 * @returns {Variant[]}
 */
export function contenders(settings, machine) {
  const has = (flag) => machine.flags.split(' ').includes(flag);
  const list = [ours('', {})];
  if (has('avx512f')) {
    const few = { groups: ['decode', 'sum'], agents: [1, 8], env: { STOMP_CPU_ISA: 'avx2' } };
    list.push(ours('avx2', {}, few));
  }
  for (const text of settings.variants) {
    const { label, options } = parseVariant(text);
    list.push(ours(label, options));
  }
  if (settings.only === 'ours') return list;
  list.push(...rivals(settings.threads, settings.uvThreads));
  // With repacked weights it ends with a segmentation fault where there is AMX.
  if (settings.llamaServer) list.push(...servers(settings.threads, llamaServer(), !has('amx_int8')));
  return list;
}
