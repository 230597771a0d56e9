// Does an unloaded model give its memory back?
import { join } from 'node:path';
import { mlxLibraryPath } from '../../dist/native.js';
import { median } from '../statistics.mjs';
import { answer, fixtures, indices, withEngine } from './engines.mjs';
import { residentMb } from './memory.mjs';
import { inProcess } from './processes.mjs';
import { figure, judged } from './verdict.mjs';

const rounds = 6;
const mostUnloadedMb = 1024;
const mostGrowth = 5;

export const about = {
  question: 'Does a model that is unloaded give its memory back?',
  method:
    `in one process the default model and a tiny Gemma 3 take turns, ${rounds} times; each is loaded, serves three agents ` +
    'and is closed; resident memory of the process after a garbage collection each time, without the heap of V8, whose ' +
    'size is its own affair, unless it says whole; medians of the later rounds; on each executor that is built',
  target:
    `under ${mostUnloadedMb} MB when nothing is loaded; within ${mostGrowth} % of a cold start when the default model serves ` +
    'again; what is left when it is gone grows by no more than that',
};

const other = join(fixtures, 'tiny-gemma3_text-bf16');

/** Few tokens on MLX, which is slow without a GPU; what is loaded and freed is the same. */
const work = { cpu: { prompt: 400, answer: 32 }, mlx: { prompt: 24, answer: 2 } };

/** Memory while a model serves, and after it is gone. */
async function serve(model, executor) {
  const { prompt, answer: tokens } = work[executor];
  const used = await withEngine(model, { executor, cacheBudgetMb: 256 }, async (engine, take) => {
    await Promise.all(indices(3).map((i) => answer(engine, `a-${i}`, take(prompt, i), tokens)));
    return residentMb();
  });
  return { used, closed: await residentMb() };
}

async function cycle({ model, executor }) {
  const start = await residentMb();
  const found = [];
  for (let round = 0; round < rounds; round++) {
    const main = await serve(model, executor);
    found.push({ main, other: await serve(other, executor) });
  }
  return { start, rounds: found };
}

export const phases = { cycle };

/**
 * What rounds say, of which each has { used, closed } of both models. Pure.
 * @returns {{ figures: [string, number, string][], faults: string[] }}
 */
export function judge({ start, rounds: all }) {
  const [first, ...later] = all;
  const middle = (of) => median(later.map(of));
  const cold = first.main.used.native;
  const served = middle(({ main }) => main.used.native);
  const left = middle(({ main }) => main.closed.native);
  const whole = Math.max(...all.map(({ main }) => main.closed.total));
  const again = 100 * (served / cold - 1);
  const grown = (100 * (left - first.main.closed.native)) / cold;
  const figures = [
    ['nothing loaded yet', start.native, 'MB'],
    ['default model, cold', cold, 'MB'],
    ['default model, later rounds', served, 'MB'],
    ['default model, later rounds over cold', again, '%'],
    ['unloaded, first round', first.main.closed.native, 'MB'],
    ['unloaded, later rounds', left, 'MB'],
    ['unloaded, grown by, of a cold start', grown, '%'],
    ['tiny Gemma 3, first round', first.other.used.native, 'MB'],
    ['tiny Gemma 3, later rounds', middle(({ other: tiny }) => tiny.used.native), 'MB'],
    ['whole process, default model', first.main.used.total, 'MB'],
    ['whole process, unloaded, at most', whole, 'MB'],
  ];
  const faults = [
    ...(whole < mostUnloadedMb ? [] : [`${whole.toFixed(0)} MB are left`]),
    ...(again <= mostGrowth ? [] : [`the default model takes ${again.toFixed(1)} % more in later rounds`]),
    ...(grown <= mostGrowth ? [] : [`what is left grew by ${grown.toFixed(1)} %`]),
  ];
  return { figures, faults };
}

export async function run(task) {
  const executors = mlxLibraryPath() === undefined ? ['cpu'] : ['cpu', 'mlx'];
  const figures = [];
  const faults = [];
  for (const executor of executors) {
    const found = judge(await inProcess({ ...task, phase: 'cycle', executor }));
    figures.push(...found.figures.map(([name, value, unit]) => figure(`${executor}: ${name}`, value, unit)));
    faults.push(...found.faults.map((fault) => `${executor}: ${fault}`));
  }
  return judged(figures, faults);
}
