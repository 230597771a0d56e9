// Do sliding windows come back from disk?
import { join } from 'node:path';
import { mlxLibraryPath } from '../../dist/native.js';
import { answer, fixtures, withEngine } from './engines.mjs';
import { inProcess } from './processes.mjs';
import { figure, judged } from './verdict.mjs';

export const about = {
  question: 'Do layers with a sliding window come back from disk as they were?',
  method:
    'a tiny Gemma 3, whose windows hold 20 tokens, reads 140 and answers; another process brings the agent back for its next ' +
    'turn, which is compared with the same prompt computed at once; on each executor that is built',
  target: 'the same tokens, and all but the new ones read from disk',
};

const model = join(fixtures, 'tiny-gemma3_text-bf16');
const promptTokens = 140;
const answerTokens = 24;
const options = (executor) => ({ executor, numerics: 'exact', blockTokens: 16, cacheBudgetMb: 64 });

async function restored({ folder, executor, prompt }) {
  return withEngine(model, { ...options(executor), cacheDir: folder }, async (engine) => {
    const { tokens, usage } = await answer(engine, 'a', prompt, answerTokens);
    return { tokens, read: usage.restoredTokens };
  });
}

export const phases = { restored };

async function compare(task, executor) {
  const folder = join(task.folder, executor);
  const prompt = await withEngine(model, { ...options(executor), cacheDir: folder }, async (engine, take) => {
    const begun = await answer(engine, 'a', take(promptTokens, 1), answerTokens);
    await engine.agent('a').save();
    return [...take(promptTokens, 1), ...begun.tokens, ...take(10, 2)];
  });
  const warm = await inProcess({ ...task, phase: 'restored', folder, executor, prompt });
  const cold = await withEngine(model, options(executor), (engine) =>
    answer(engine, 'x', prompt, answerTokens),
  );
  const wanted = promptTokens + answerTokens - 1;
  const faults = [
    ...(String(warm.tokens) === String(cold.tokens) ? [] : [`${executor}: other tokens`]),
    ...(warm.read === wanted ? [] : [`${executor}: read ${warm.read} of ${wanted} tokens back`]),
  ];
  return { figures: [figure(`read back on ${executor}, of ${wanted}`, warm.read, 'tokens')], faults };
}

export async function run(task) {
  const executors = mlxLibraryPath() === undefined ? ['cpu'] : ['cpu', 'mlx'];
  const found = [];
  for (const executor of executors) found.push(await compare(task, executor));
  return judged(
    found.flatMap(({ figures }) => figures),
    found.flatMap(({ faults }) => faults),
    `${answerTokens} tokens each, the same`,
  );
}
