// How fast do many agents answer at once?
import { fileURLToPath } from 'node:url';
import { buildCeilings, measureCeilings } from '../ceilings.mjs';
import { results } from '../child.mjs';
import { decodeLimit } from '../limits.mjs';
import { open } from '../sides/ours.mjs';
import { rateTogether } from '../together.mjs';
import { answerOf, prompts, promptTokens } from '../workload.mjs';
import { indices } from './engines.mjs';
import { figure, judged } from './verdict.mjs';

const counts = [1, 3, 5, 7, 10];
const wantedShare = 80;

export const about = {
  question: 'How fast do 1, 3, 5, 7 and 10 agents answer at once?',
  method:
    'prompts of 24 tokens, read before, answers of 128 (up to 4 agents) or 64; the sum of tokens a second, against one agent and against ' +
    'what the machine allows (bench/limits.mjs, with ceilings measured before and after); npm run bench has medians of several trials',
  target: `${wantedShare} % of what the machine allows, and never less than fewer agents`,
};

function rateOf(side, take, agents) {
  const prompts = indices(agents).map((i) => take.short(agents * 20 + i));
  return rateTogether(side, prompts, { maxTokens: answerOf(agents), slot: (i) => `a-${agents}-${i}` });
}

async function measure(task) {
  const side = await open({ ...task, group: 'sum', options: {} });
  try {
    const take = await prompts((text) => side.encode(text));
    await rateOf(side, take, 2); // warm
    const rates = [];
    for (const agents of counts) rates.push({ agents, rate: await rateOf(side, take, agents) });
    return rates;
  } finally {
    await side.close();
  }
}

/** By name, the best that was measured: neighbours on the machine take some of it now and then. */
export function highest(measured) {
  const best = {};
  for (const { name, value } of measured) best[name] = Math.max(value, best[name] ?? 0);
  return best;
}

/** How far the rates are from what is wanted. @param {{ agents: number, rate: number, share: number }[]} rates */
export function shortfalls(rates) {
  const below = rates.filter(({ share }) => share < wantedShare);
  const slower = rates.filter(({ rate }, i) => i > 0 && rate < rates[i - 1].rate * 0.97);
  return [
    ...below.map(({ agents, share }) => `${agents} agents reach ${share.toFixed(0)} %`),
    ...slower.map(({ agents }) => `${agents} agents are slower than fewer`),
  ];
}

export async function run(task) {
  if (!buildCeilings()) throw new Error('no C++ compiler built bench/native/ceilings.cc; set CXX to one');
  const script = fileURLToPath(new URL('../model-facts.mjs', import.meta.url));
  const [{ facts }] = await results(process.execPath, [script, task.model], { cwd: task.folder });
  const ceiling = () => measureCeilings(task.threads, facts.weightsBytes);
  const before = await ceiling();
  const found = await measure(task);
  const ceilings = highest([...before, ...(await ceiling())]);
  const rates = found.map(({ agents, rate }) => {
    const context = promptTokens.short + answerOf(agents) / 2;
    const { seconds } = decodeLimit(facts, ceilings, { sequences: agents, context });
    return { agents, rate, share: (100 * rate * seconds) / agents };
  });
  const figures = rates.flatMap(({ agents, rate, share }) => [
    figure(`sum over ${agents}`, rate, 'tok/s'),
    figure(`sum over ${agents}, against one`, rate / rates[0].rate, 'times'),
    figure(`sum over ${agents}, of what the machine allows`, share, '%'),
  ]);
  return judged(figures, shortfalls(rates));
}
