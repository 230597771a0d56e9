// What both sides are given: the same token ids, lengths and counts. Sizes are tokens.
import { readFileSync } from 'node:fs';

export const prefillTokens = 512;
export const longTokens = 1024;
export const returningTokens = 2048;
export const answerTokens = 64;
export const soloAnswerTokens = 128;
export const agentCounts = [1, 2, 4, 8];
const shortTokens = 24;

const text = readFileSync(new URL('../tests/fixtures/text/perplexity.txt', import.meta.url), 'utf8');

/**
 * Prompts cut from one tokenised text. `take(n, salt)` gives n tokens; different salts begin differently, so that
 * nothing is shared by accident.
 */
export function prompts(encode) {
  const ids = encode(text);
  const take = (n, salt) => {
    const out = [];
    for (let i = 0; out.length < n; i++) out.push(ids[(salt * 131 + i) % ids.length]);
    return out;
  };
  return {
    take,
    short: (salt) => take(shortTokens, salt + 1000),
  };
}

/** Milliseconds with fractions, monotonic. */
export const now = () => performance.now();

/** One result line on standard output, for run.mjs. */
export function report(name, value, unit) {
  process.stdout.write(`${JSON.stringify({ name, value, unit })}\n`);
}
