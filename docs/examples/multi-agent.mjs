/**
 * Four agents that begin alike answer at the same time, in one batch. The common beginning is computed once.
 *
 *   node docs/examples/multi-agent.mjs [MODEL]
 *
 * docs/architecture.md says how a step serves all of them.
 */
import { Engine } from 'stomp-serve';

const engine = await Engine.load(process.argv[2] ?? 'smollm2-135m', {
  cacheDir: null,
  blockTokens: 16, // what is shared is whole blocks, and these prompts are short
  maxBatchSize: 4,
  batchWindowMs: 1000, // begins with the fourth, however soon a small model is done; leave it at 0 to be answered at once
});
const system = 'You work on a web shop with three others. Answer in one sentence. Say what you do first.';
const tasks = { ann: 'The search.', bob: 'The basket.', cleo: 'The bills.', dan: 'The tests.' };

const answers = Object.entries(tasks).map(async ([name, task]) => {
  const turn = engine.agent(name).chat(task, { system, maxTokens: 24, ignoreEos: true });
  const { usage } = await turn.result;
  return { name, ...usage };
});
for (const { name, promptTokens, computedTokens, sharedTokens, generatedTokens } of await Promise.all(
  answers,
)) {
  console.log(
    `${name}: ${promptTokens} in, ${computedTokens} computed, ${sharedTokens} shared, ${generatedTokens} out`,
  );
}

const { steps, decodeTokens, pool: before } = await engine.stats();
// One by one there would be a step for each token, and some for the prompts.
console.log(
  `${decodeTokens} tokens of answers in ${steps} steps, fewer than tokens: ${steps < decodeTokens}`,
);

// A fork has the same conversation, and takes no memory until the two part.
await engine.agent('ann').fork('eve');
const { pool: after } = await engine.stats();
console.log('a fork takes no block:', JSON.stringify(before) === JSON.stringify(after));
await engine.close();
