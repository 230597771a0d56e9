/** Many agents from one long parent. */
import { expect, it } from 'vitest';
import { defaultModel } from '../../../ts/engine/models/known-models.js';
import { load, promptIds } from './engines.js';

it('sixteen forks of a parent of 6K tokens take one more block each, once they say something of their own', async () => {
  const engine = await load(defaultModel, { threads: 0, blockTokens: 64, cacheBudgetMb: 512 });
  const used = async () => {
    const [pool] = (await engine.stats()).pool;
    return pool ? pool.capacity - pool.free - pool.cached : 0;
  };
  const ids = promptIds(6144);
  const options = { maxTokens: 2, ignoreEos: true };
  await engine.agent('parent').generate(ids, { ...options, maxTokens: 1 }).result;
  const alone = await used();
  expect(alone).toBe(6144 / 64);
  const forks = Array.from({ length: 16 }, (_, i) => `fork${i}`);
  for (const id of forks) await engine.agent('parent').fork(id);
  expect(await used()).toBe(alone);
  const answers = await Promise.all(
    forks.map((id, i) => engine.agent(id).generate([...ids, 1000 + i], options).result),
  );
  for (const { usage } of answers) expect(usage.cachedTokens).toBe(6144);
  expect(await used()).toBe(alone + 16);
}, 600_000);
