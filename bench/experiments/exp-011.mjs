// Does an unloaded model give its memory back?
import { join } from 'node:path';
import { mlxLibraryPath } from '../../dist/native.js';
import { answer, fixtures, indices, withEngine } from './engines.mjs';
import { heapMb, residentMb } from './memory.mjs';
import { inProcess } from './processes.mjs';
import { figure, judged } from './verdict.mjs';

const rounds = 4;
const mostUnloadedMb = 1024;
const mostGrowth = 5;

export const about = {
  question: 'Does a model that is unloaded give its memory back?',
  method:
    `in one process the default model and a tiny Gemma 3 take turns, ${rounds} times; each is loaded, serves three agents ` +
    'and is closed; resident memory of the process after a garbage collection each time; on each executor that is built',
  target:
    `under ${mostUnloadedMb} MB when nothing is loaded, and within ${mostGrowth} % of the first, cold round whenever the same ` +
    'model serves again',
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
  return { start, rounds: found, heap: heapMb() };
}

export const phases = { cycle };

const growth = (first, last) => 100 * (last / first - 1);

function judge(executor, { start, rounds: all, heap }) {
  const [first] = all;
  const last = all[all.length - 1];
  const again = growth(first.main.used, last.main.used);
  const tiny = growth(first.other.used, last.other.used);
  const closed = Math.max(...all.map(({ main }) => main.closed));
  const figures = [
    ['nothing loaded yet', start, 'MB'],
    ['default model, cold', first.main.used, 'MB'],
    ['default model, last round', last.main.used, 'MB'],
    ['default model, last round over cold', again, '%'],
    ['tiny Gemma 3, last round over the first', tiny, '%'],
    ['default model unloaded, most of all rounds', closed, 'MB'],
    ["of that V8's heap", heap, 'MB'],
  ].map(([name, value, unit]) => figure(`${executor}: ${name}`, value, unit));
  const faults = [
    ...(closed < mostUnloadedMb ? [] : [`${executor}: ${closed.toFixed(0)} MB are left`]),
    ...(again <= mostGrowth ? [] : [`${executor}: the default model takes ${again.toFixed(1)} % more in the last round`]),
    ...(tiny <= mostGrowth ? [] : [`${executor}: the tiny model takes ${tiny.toFixed(1)} % more in the last round`]),
  ];
  return { figures, faults };
}

export async function run(task) {
  const executors = mlxLibraryPath() === undefined ? ['cpu'] : ['cpu', 'mlx'];
  const found = [];
  for (const executor of executors)
    found.push(judge(executor, await inProcess({ ...task, phase: 'cycle', executor })));
  return judged(
    found.flatMap(({ figures }) => figures),
    found.flatMap(({ faults }) => faults),
  );
}
