// What every side is given: the same token ids, lengths and counts. Sizes are tokens.
import { readFileSync } from 'node:fs';

export const promptTokens = { short: 24, 512: 512, '1K': 1024, '2K': 2048, '4K': 4096, '6K': 6144 };
/** What a returning agent adds to its conversation. */
export const tailTokens = 16;
/** Answers: one alone after a short prompt, one alone in a long context, one of many at once. */
export const answerTokens = { alone: 128, context: 64, many: 64, loop: 64 };
export const agentCounts = [1, 2, 3, 4, 6, 8, 12, 16];
export const agentsAt2K = 8;
export const loopAgents = 32;
/** Room of a sequence with a short prompt and the longest answer. */
export const shortContext = 256;

/** Answers of few agents are longer: a phase must last long enough to be timed. */
export const answerOf = (agents) => (agents <= 4 ? answerTokens.alone : answerTokens.many);

/** What prompts are cut from. */
export const text = readFileSync(new URL('../tests/fixtures/text/perplexity.txt', import.meta.url), 'utf8');

/**
 * Prompts cut from one tokenised text. `take(n, salt)` gives n tokens; different salts begin differently, so that
 * nothing is shared by accident.
 * @param {(text: string) => ArrayLike<number> | Promise<ArrayLike<number>>} encode
 */
export async function prompts(encode) {
  const ids = await encode(text);
  const take = (n, salt) => Array.from({ length: n }, (_, i) => ids[(salt * 131 + i) % ids.length]);
  return { take, short: (salt) => take(promptTokens.short, salt + 1000) };
}
