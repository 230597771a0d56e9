// What do unequal agents take in blocks, and what in a padded batch?
import { answer, bytesPerToken, withEngine } from './engines.mjs';
import { figure, judged } from './verdict.mjs';

export const about = {
  question: 'What memory do five unequal agents take in blocks, and what would a padded batch take?',
  method:
    'five agents of 200 to 6,000 tokens on the default model, all different, then five with a common beginning of 2,048 ' +
    'tokens; the blocks in use, against five rows as long as the longest',
  target: 'less than the padded batch, and no more than a block an agent beyond what the tokens need',
};

const lengths = [200, 700, 1500, 3000, 6000];
const common = 2048;
const tail = 64;
const answerTokens = 8;
const mb = (bytes) => bytes / 2 ** 20;

/** What rows of a padded batch, blocks without sharing, and tokens alone take. */
export function memoryOf(tokens, perToken, blockTokens) {
  const longest = Math.max(...tokens);
  const sum = (values) => values.reduce((total, value) => total + value, 0);
  return {
    padded: tokens.length * longest * perToken,
    blocks: sum(tokens.map((n) => Math.ceil(n / blockTokens))) * blockTokens * perToken,
    exact: sum(tokens) * perToken,
  };
}

async function blocksInUse(engine) {
  const { pool } = await engine.stats();
  return pool.reduce(
    (sum, { capacity, free, cached, blockBytes }) => sum + (capacity - free - cached) * blockBytes,
    0,
  );
}

async function measure(engine, conversations) {
  const { blockTokens } = await engine.stats();
  for (const [i, prompt] of conversations.entries()) await answer(engine, `agent-${i}`, prompt, answerTokens);
  // The last token of an answer is not in the cache yet.
  const tokens = conversations.map((prompt) => prompt.length + answerTokens - 1);
  const used = await blocksInUse(engine);
  for (const i of conversations.keys()) await engine.agent(`agent-${i}`).remove();
  await engine.clearCaches();
  return { used, ...memoryOf(tokens, await bytesPerToken(engine), blockTokens) };
}

export async function run({ model }) {
  return withEngine(model, {}, async (engine, take) => {
    const different = await measure(
      engine,
      lengths.map((length, i) => take(length, i + 1)),
    );
    const beginning = take(common, 40);
    const shared = await measure(
      engine,
      lengths.map((_, i) => [...beginning, ...take(tail, 50 + i)]),
    );
    const figures = [
      figure('all different: blocks in use', mb(different.used), 'MB'),
      figure('all different: padded', mb(different.padded), 'MB'),
      figure('all different: padded over blocks', different.padded / different.used, 'times'),
      figure('all different: beyond the tokens', 100 * (different.used / different.exact - 1), '%'),
      figure('common beginning: blocks in use', mb(shared.used), 'MB'),
      figure('common beginning: padded', mb(shared.padded), 'MB'),
      figure('common beginning: padded over blocks', shared.padded / shared.used, 'times'),
    ];
    const faults = [
      ...(different.used <= different.blocks ? [] : ['the agents hold more blocks than their tokens need']),
      ...(different.used < different.padded ? [] : ['a padded batch would take no more']),
      ...(shared.used < shared.exact ? [] : ['nothing is shared']),
    ];
    return judged(figures, faults);
  });
}
