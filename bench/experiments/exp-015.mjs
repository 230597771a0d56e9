// What do answers under way lose while another agent's long prompt is read?
import { setTimeout as wait } from 'node:timers/promises';
import { tokensOf } from '../sides/ours.mjs';
import { timed } from '../sides/stream.mjs';
import { greedy, indices, withEngine } from './engines.mjs';
import { figure, judged } from './verdict.mjs';

const answering = 4;
const answerTokens = 160;
const soloSeconds = 10;
const longTokens = 8000;
const wantedTimes = 2;
const wantedShare = 0.5;

export const about = {
  question: "How much later do the tokens of answers come while another agent's prompt of 8K tokens is read?",
  method:
    `${answering} agents answer ${answerTokens} tokens over and over, alone for ${soloSeconds} seconds, then until another ` +
    `agent's prompt of ${longTokens} tokens has its first token; times between neighbouring tokens of an answer, as they ` +
    'arrive in JavaScript',
  target: `the 99th percentile at most ${wantedTimes} times that without the prompt, and at least half the speed`,
};

/**
 * Times between tokens that both arrived in (from, to].
 * @param {{ times: { at: number, count: number }[] }[]} answers
 */
export function gapsWithin(answers, from, to) {
  return answers.flatMap(({ times }) => {
    const inside = times.filter(({ at }) => at > from && at <= to);
    return inside.slice(1).map(({ at }, i) => at - inside[i].at);
  });
}

/** @param {number} share 0 to 1 */
export function percentile(numbers, share) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}

const speedOf = (gaps) => (1e3 * gaps.length) / gaps.reduce((sum, gap) => sum + gap, 0);

/** Answers until told to end; what they continue is in the cache, so that nothing else is read meanwhile. */
function keepAnswering(engine, take) {
  const answers = [];
  let ended = false;
  const one = async (i) => {
    const prompt = take(24, i + 1);
    while (!ended) {
      const generation = engine.agent(`a-${i}`).generate(prompt, greedy(answerTokens));
      answers.push(await timed(tokensOf(generation), answerTokens));
    }
  };
  const all = Promise.all(indices(answering).map(one));
  return {
    answers,
    end: async () => {
      ended = true;
      await all;
    },
  };
}

async function measure(engine, take) {
  const others = keepAnswering(engine, take);
  await wait(2000); // until speeds are learned
  const start = performance.now();
  await wait(1000 * soloSeconds);
  const asked = performance.now();
  const long = await timed(tokensOf(engine.agent('long').generate(take(longTokens, 50), greedy(1))), 1);
  const answered = long.times[0].at;
  await others.end();
  return {
    readMs: answered - asked,
    solo: gapsWithin(others.answers, start, asked),
    during: gapsWithin(others.answers, asked, answered),
  };
}

export async function run({ model, threads }) {
  const { solo, during, readMs } = await withEngine(model, { threads }, measure);
  const times = percentile(during, 0.99) / percentile(solo, 0.99);
  const share = speedOf(during) / speedOf(solo);
  const figures = [
    figure('tokens apart, alone: median', percentile(solo, 0.5), 'ms'),
    figure('tokens apart, alone: p99', percentile(solo, 0.99), 'ms'),
    figure('tokens apart, meanwhile: median', percentile(during, 0.5), 'ms'),
    figure('tokens apart, meanwhile: p99', percentile(during, 0.99), 'ms'),
    figure('p99, meanwhile over alone', times, 'times'),
    figure('speed kept', 100 * share, '%'),
    figure('the prompt', longTokens / (readMs / 1e3), 'tok/s'),
  ];
  const faults = [];
  if (times > wantedTimes) faults.push(`p99 is ${times.toFixed(2)} times as long`);
  if (share < wantedShare) faults.push(`${(100 * share).toFixed(0)} % of the speed is left`);
  return judged(figures, faults);
}
