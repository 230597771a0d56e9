// stomp-serve through its public API; tasks and results are lines of JSON.
import { createInterface } from 'node:readline';
import { Engine } from '../../dist/index.js';

const engine = await Engine.load(process.argv[2], {
  executor: 'mlx',
  cacheDir: null,
  cacheBudgetMb: Number(process.argv[3]),
  maxBatchSize: 64,
  maxQueue: 64,
});
const { executor } = await engine.stats();
console.log(JSON.stringify({ name: 'stomp-serve', device: executor.device, isa: executor.isa }));

/** @returns seconds until all have answered, and their tokens */
async function answer(prompts, maxTokens) {
  const begin = performance.now();
  const options = { maxTokens, ignoreEos: true, temperature: 0 };
  const all = await Promise.all(prompts.map((prompt) => engine.complete(prompt, options).result));
  const tokens = all.reduce((sum, result) => sum + result.tokens.length, 0);
  return { seconds: (performance.now() - begin) / 1000, tokens };
}

for await (const line of createInterface({ input: process.stdin })) {
  const { short, long, answer: length } = JSON.parse(line);
  const first = await answer(short, 1);
  const whole = await answer(long, length);
  console.log(JSON.stringify({ short: first.seconds, long: whole.seconds, tokens: whole.tokens }));
}
await engine.close();
