// How soon does an agent that comes back say its first word?
import { median } from '../statistics.mjs';
import { answer, withEngine } from './engines.mjs';
import { inProcess } from './processes.mjs';
import { agentsOf, answerTokens, saltOf, sizes, tailTokens } from './sizes.mjs';
import { figure, judged } from './verdict.mjs';

const rounds = 3;
const wanted = 10;
const alone = sizes.filter(({ agents }) => agents === 1);

export const about = {
  question: 'How soon does an agent of 2K, 4K or 8K tokens that comes back from disk say its first token?',
  method:
    `in another process, from the request with ${tailTokens} new tokens to the first token, reading included and loading the ` +
    `model not; against the same conversation computed cold; medians of ${rounds}`,
  target: `less than a ${wanted}th of the cold start`,
};

const options = (folder) => ({ cacheDir: folder, cacheBudgetMb: 4096 });

async function cold({ model, folder }) {
  return withEngine(model, options(folder), async (engine, take) => {
    const found = {};
    for (const size of alone) {
      const times = [];
      for (let round = 0; round < rounds; round++) {
        const [id] = agentsOf(size, round);
        const prompt = take(size.tokens, saltOf(size, round, 0));
        const { tokens, usage } = await answer(engine, id, prompt, answerTokens);
        times.push(usage.firstTokenMs);
        found[id] = [...prompt, ...tokens, ...take(tailTokens, 90)];
        await engine.agent(id).evict();
        await engine.clearCaches();
      }
      found[size.name] = median(times);
    }
    return found;
  });
}

async function resume({ model, folder, conversations }) {
  return withEngine(model, options(folder), async (engine) => {
    const found = {};
    for (const size of alone) {
      const results = [];
      for (let round = 0; round < rounds; round++) {
        const [id] = agentsOf(size, round);
        results.push((await answer(engine, id, conversations[id], answerTokens)).usage);
      }
      const read = Math.min(...results.map(({ restoredTokens }) => restoredTokens));
      found[size.name] = { firstMs: median(results.map(({ firstTokenMs }) => firstTokenMs)), read };
    }
    return found;
  });
}

export const phases = { resume };

export async function run(task) {
  const before = await cold(task);
  const after = await inProcess({ ...task, phase: 'resume', conversations: before });
  const figures = [];
  const faults = [];
  for (const { name, tokens } of alone) {
    const { firstMs, read } = after[name];
    const times = before[name] / firstMs;
    figures.push(
      figure(`${name}: first token cold`, before[name], 'ms'),
      figure(`${name}: first token back from disk`, firstMs, 'ms'),
      figure(`${name}: cold over back`, times, 'times'),
    );
    if (read < tokens) faults.push(`${name}: ${read} tokens were read back`);
    if (times < wanted) faults.push(`${name}: ${times.toFixed(1)} times as fast as cold`);
  }
  return judged(figures, faults);
}
