// How long does a swap take with agents at work, and is a turn lost?
import { join } from 'node:path';
import { ModelRegistry } from '../../dist/index.js';
import { prompts } from '../workload.mjs';
import { answer, fixtures, greedy, indices } from './engines.mjs';
import { figure, judged } from './verdict.mjs';

const mostMs = 30_000;
const agents = indices(12);
const promptTokens = 512;
const answerTokens = 64;

export const about = {
  question: 'How long does a swap take while twelve agents answer, and is a turn lost?',
  method:
    'the swap is asked for when all twelve are in the batch: they end, are saved, the model is unloaded, a tiny Qwen 2 with ' +
    'options of its own is loaded and answers; then back, and every agent takes its next turn',
  target: `under ${mostMs / 1000} s; no turn cut, every agent read back`,
};

const other = join(fixtures, 'tiny-qwen2-bf16');

/** Begins a turn of every agent; resolves when all are in the batch. */
async function busy(registry, conversations) {
  const turns = [];
  for (const i of agents) {
    const lease = await registry.acquire();
    const generation = lease.engine.agent(`agent-${i}`).generate(conversations[i], greedy(answerTokens));
    const ended = generation.result.finally(() => lease.release());
    turns.push({ started: generation.started, ended: ended.catch((error) => ({ error })) });
  }
  await Promise.all(turns.map(({ started }) => started));
  return Promise.all(turns.map(({ ended }) => ended));
}

async function withLease(registry, work) {
  const lease = await registry.acquire();
  try {
    return await work(lease.engine);
  } finally {
    lease.release();
  }
}

const isWhole = ({ tokens }) => tokens?.length === answerTokens;

async function swapThereAndBack(registry, model) {
  await registry.load(model);
  const { take } = await withLease(registry, (engine) => prompts((text) => engine.tokenizer.encode(text)));
  const begun = agents.map((i) => take(promptTokens, i));
  const results = busy(registry, begun);
  // A request in the batch holds its lease: the swap has to wait for all of them.
  while (registry.current().requests < agents.length) await new Promise((resolve) => setTimeout(resolve, 5));
  const change = await registry.swap(other, { cacheBudgetMb: 64 });
  const turns = await results;
  const reply = await withLease(registry, (engine) =>
    answer(engine, 'x', engine.tokenizer.encode('The sea'), 8),
  );
  const back = await registry.swap(model);
  const next = await withLease(registry, (engine) =>
    Promise.all(
      agents
        .filter((i) => isWhole(turns[i]))
        .map((i) =>
          answer(engine, `agent-${i}`, [...begun[i], ...turns[i].tokens, ...take(16, 99)], answerTokens),
        ),
    ),
  );
  return { change, back, turns, next, replied: reply.tokens.length };
}

export async function run({ model, folder }) {
  const registry = new ModelRegistry({ engine: { executor: 'cpu', cacheDir: folder, cacheBudgetMb: 1024 } });
  try {
    const { change, back, turns, next, replied } = await swapThereAndBack(registry, model);
    const whole = turns.filter(isWhole).length;
    const read = next.filter(({ usage }) => usage.restoredTokens >= promptTokens).length;
    const figures = [
      figure('swap, agents at work', change.totalMs, 'ms'),
      figure('of that until the answers have ended', change.drainMs, 'ms'),
      figure('of that saving and unloading', change.closeMs, 'ms'),
      figure('of that loading', change.loadMs, 'ms'),
      figure('swap back, nobody at work', back.totalMs, 'ms'),
      figure('turns that ended whole', whole, `of ${agents.length}`),
      figure('agents read back', read, `of ${agents.length}`),
    ];
    const faults = [
      ...[change, back]
        .filter(({ totalMs }) => totalMs >= mostMs)
        .map(({ totalMs }) => `a swap took ${totalMs} ms`),
      ...(whole === agents.length && change.cancelledRequests === 0 ? [] : ['turns were cut']),
      ...(read === agents.length ? [] : ['agents were not read back']),
      ...(replied === 8 ? [] : ['the other model did not answer']),
    ];
    return judged(figures, faults);
  } finally {
    await registry.close();
  }
}
