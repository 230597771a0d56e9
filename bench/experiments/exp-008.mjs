// How long do caches take to disk and back?
import { median } from '../statistics.mjs';
import { answer, timeOf, withEngine } from './engines.mjs';
import { inProcess } from './processes.mjs';
import { agentsOf, answerTokens, saltOf, sizes } from './sizes.mjs';
import { figure, judged } from './verdict.mjs';

const rounds = 3;
/** Computing over reading back. */
const wanted = 10;

export const about = {
  question: 'How long do the caches of 2K, 4K, 8K and 16K tokens take to disk and back?',
  method:
    'from the end of an answer until its agent is on disk (written in the background, so this is what a program waits that ' +
    'asks for it), and load() in another process; 16K are two agents of 8K at once, since the default model takes 8,192 ' +
    `tokens; medians of ${rounds}`,
  target: `reading back takes less than a ${wanted}th of computing again`,
};

const options = (folder) => ({ cacheDir: folder, cacheBudgetMb: 4096 });

/** One round of one size: computes, then waits for the files. */
async function save(engine, take, size, round) {
  const ids = agentsOf(size, round);
  const compute = () =>
    Promise.all(
      ids.map((id, i) => answer(engine, id, take(size.tokens, saltOf(size, round, i)), answerTokens)),
    );
  const computeMs = await timeOf(compute);
  const saveMs = await timeOf(() => Promise.all(ids.map((id) => engine.agent(id).save())));
  const known = (await engine.agents()).filter(({ id }) => ids.includes(id));
  const bytes = known.reduce((sum, { diskBytes }) => sum + diskBytes, 0);
  for (const id of ids) await (round === 0 ? engine.agent(id).evict() : engine.agent(id).remove());
  await engine.clearCaches();
  return { computeMs, saveMs, bytes };
}

async function saveAll({ model, folder }) {
  return withEngine(model, options(folder), async (engine, take) => {
    const found = {};
    for (const size of sizes) {
      const all = [];
      for (let round = 0; round < rounds; round++) all.push(await save(engine, take, size, round));
      const middle = (field) => median(all.map((one) => one[field]));
      found[size.name] = { computeMs: middle('computeMs'), saveMs: middle('saveMs'), bytes: all[0].bytes };
    }
    return found;
  });
}

/** Loads the agents of the first round, again and again. */
async function restore({ model, folder }) {
  return withEngine(model, options(folder), async (engine) => {
    const found = {};
    for (const size of sizes) {
      const ids = agentsOf(size);
      const times = [];
      for (let round = 0; round < rounds; round++) {
        times.push(await timeOf(() => Promise.all(ids.map((id) => engine.agent(id).load()))));
        for (const id of ids) await engine.agent(id).evict();
        await engine.clearCaches();
      }
      found[size.name] = median(times);
    }
    return found;
  });
}

export const phases = { restore };

export async function run(task) {
  const saved = await saveAll(task);
  const loaded = await inProcess({ ...task, phase: 'restore' });
  const figures = [];
  const faults = [];
  for (const { name } of sizes) {
    const { computeMs, saveMs, bytes } = saved[name];
    figures.push(
      figure(`${name}: on disk`, bytes / 2 ** 20, 'MB'),
      figure(`${name}: computed in`, computeMs, 'ms'),
      figure(`${name}: saved in`, saveMs, 'ms'),
      figure(`${name}: read back in`, loaded[name], 'ms'),
    );
    const times = computeMs / loaded[name];
    if (times < wanted) faults.push(`${name} is read back ${times.toFixed(1)} times as fast as computed`);
  }
  return judged(
    figures,
    faults,
    'writing is behind the answer at every size: there is no length to begin at',
  );
}
