// Two models that take each other's place, as a process: the test runner's own memory would drown what they leave.
// Argument: JSON of { model, other, rounds, cacheDir }. Writes a line of JSON, { served }: MB of the process without V8's
// heap, once for each time that `model` serves.
import { residentMb } from '../../../bench/experiments/memory.mjs';
import { ModelRegistry } from '../../../dist/index.js';

const { model, other, rounds, cacheDir } = JSON.parse(process.argv[2]);
const engine = { executor: 'cpu', threads: 1, cacheBudgetMb: 64, cacheDir };
const registry = new ModelRegistry({ engine });

/** Three agents at once; the same prompts each time, so that later rounds read caches back. */
async function serve() {
  const lease = await registry.acquire();
  try {
    const turns = [1, 2, 3].map((n) => {
      const prompt = Array.from({ length: 64 }, (_, i) => 20 + ((n * 50 + i * 7) % 480));
      return lease.engine.agent(`agent-${n}`).generate(prompt, { maxTokens: 8, ignoreEos: true }).result;
    });
    await Promise.all(turns);
    return await residentMb();
  } finally {
    lease.release();
  }
}

const served = [];
for (let round = 0; round < rounds; round++) {
  await registry.swap(model);
  served.push((await serve()).native);
  await registry.swap(other);
  await serve();
}
await registry.close();
process.stdout.write(`${JSON.stringify({ served })}\n`);
