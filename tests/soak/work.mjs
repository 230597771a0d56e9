// What agents do in a soak. Pure: the same numbers give the same work.

/**
 * Numbers in [0, 1) that follow from a seed.
 * @param {number} seed an integer
 */
export function randomOf(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = state ^ (state >>> 16);
    mixed = Math.imul(mixed, 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
  };
}

/** An integer from `low` up to, not including, `high`. */
export const between = (random, low, high) => low + Math.floor(random() * (high - low));

/** One of [weight, value] pairs, as often as its weight says. */
export function weighted(random, pairs) {
  let left = random() * pairs.reduce((sum, [weight]) => sum + weight, 0);
  for (const [weight, value] of pairs) {
    left -= weight;
    if (left < 0) return value;
  }
  return pairs[0][1];
}

/** A conversation ends when it is longer, or takes two fifths of the context. */
const longestConversation = 1200;
const mostAnswer = 96;
/** What a third of all conversations begin with, each in one of three ways. */
const commonBeginning = 200;

const lengths = [
  [70, [4, 40]],
  [25, [60, 240]],
  [5, [400, 700]],
];

const samplings = [
  [50, () => ({})],
  [30, (random) => ({ temperature: 0.8, topK: 40, seed: between(random, 0, 2 ** 31) })],
  [
    20,
    (random) => ({ temperature: 1, topP: 0.9, repetitionPenalty: 1.1, seed: between(random, 0, 2 ** 31) }),
  ],
];

const priorities = [
  [60, 'normal'],
  [20, 'high'],
  [20, 'low'],
];

const operations = [
  [80, 'turn'],
  [8, 'cancel'],
  [4, 'evict'],
  [4, 'save'],
  [4, 'fork'],
];

/** What an agent does next with a conversation of so many tokens. */
export function operationOf(random, length, contextTokens) {
  return length > Math.min(longestConversation, 0.4 * contextTokens) ? 'end' : weighted(random, operations);
}

function tokens(random, count, vocabSize) {
  return Array.from({ length: count }, () => between(random, 10, vocabSize));
}

function beginning(random, vocabSize) {
  if (random() > 1 / 3) return [];
  return tokens(randomOf(between(random, 1, 4)), commonBeginning, vocabSize);
}

/** New tokens; a quarter repeats what was said, as quotes and edits of files do. */
function added(random, history, { vocabSize, contextTokens }) {
  const room = contextTokens - history.length - commonBeginning - mostAnswer;
  const count = Math.min(room, between(random, ...weighted(random, lengths)));
  if (history.length < count || random() > 1 / 4) return tokens(random, count, vocabSize);
  const start = between(random, 0, history.length - count + 1);
  return history.slice(start, start + count);
}

/**
 * One turn: the tokens that follow a conversation, and how it is to be answered.
 * @param {readonly number[]} history
 * @param {import('../../dist/index.js').EngineInfo} info
 * @returns {{ added: number[], options: import('../../dist/index.js').GenerateOptions }}
 */
export function turnOf(random, history, info) {
  return {
    added: [...(history.length ? [] : beginning(random, info.vocabSize)), ...added(random, history, info)],
    options: {
      maxTokens: between(random, 4, mostAnswer + 1),
      ignoreEos: true,
      priority: weighted(random, priorities),
      ...weighted(random, samplings)(random),
    },
  };
}
