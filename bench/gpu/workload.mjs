// What every side of the GPU benchmark is asked for: so many sequences at once, so many tokens each.

export const defaultCases = '1x512+128,8x512+128,32x512+128,8x2048+128';

/**
 * Sequences x tokens of a prompt + tokens of an answer, several by commas.
 * @param {string} text
 */
export function parseCases(text) {
  return text.split(',').map((one) => {
    const numbers = /^(\d+)x(\d+)\+(\d+)$/.exec(one)?.slice(1).map(Number);
    if (!numbers || numbers.includes(0)) throw new Error(`"${one}" is no case; one is 8x512+128`);
    const [sequences, prompt, answer] = numbers;
    return { sequences, prompt, answer };
  });
}

/** Token ids that no vocabulary is too small for, other ones for each seed: no cache can know them. */
export function promptIds(length, seed) {
  let state = (seed * 2654435761 + 12345) >>> 0;
  return Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return 1000 + ((state >>> 8) % 20000);
  });
}

/**
 * One trial: prompts for an answer of a single token, and others for the whole answer.
 * @param {{ sequences: number, prompt: number }} one what is asked for
 * @param {number} trial
 * @returns {{ short: number[][], long: number[][] }}
 */
export function promptsOf({ sequences, prompt }, trial) {
  const some = (first) => Array.from({ length: sequences }, (_, i) => promptIds(prompt, first + i));
  return { short: some(trial * 2000), long: some(trial * 2000 + 1000) };
}

/**
 * Tokens a second, from what both took: reading all prompts, and each token after the first.
 * @param {{ sequences: number, prompt: number }} one what was asked for
 * @param {{ short: number, long: number, tokens: number }} took seconds, and all tokens of the long answers
 */
export function ratesOf({ sequences, prompt }, { short, long, tokens }) {
  return { prefill: (sequences * prompt) / short, decode: (tokens - sequences) / (long - short) };
}
