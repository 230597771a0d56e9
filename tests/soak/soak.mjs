/**
 * Twelve agents at work for an hour, in two processes: `npm run soak [-- --minutes 60] [--seed 1] [--share 0.2]`.
 *
 * In both, agents of different habits ask, cancel, fork, save, are evicted and end, under a cache and a disk that are
 * too small for them, while three models of different families take turns. The first process lives to the end: its
 * memory must stay as it is. The second is killed (SIGKILL) again and again: what was saved must be there. Whenever
 * nobody is at work, no block of the pool may be held. In the end answers are asked for again, of an engine that
 * nothing happens to: they must be the same, token for token (`numerics: 'exact'`).
 *
 * --seconds N instead of --minutes for a short one; --share: of the conversations, how many are replayed (those of the
 * small models are all); --folder: where it works, kept afterwards. Ends with `N passed, N failed`.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { median } from '../../bench/statistics.mjs';
import { defaultModel } from '../../dist/index.js';
import { Host } from './host-process.mjs';
import { read, summary } from './journal.mjs';
import { between, randomOf } from './work.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const fixture = (name) => fileURLToPath(new URL(`../fixtures/models/${name}`, import.meta.url));

const models = [defaultModel, fixture('tiny-gemma3_text-bf16'), fixture('tiny-qwen3_moe-bf16')];
/** Room for two or three of the agents' conversations at a time. */
const engine = {
  executor: 'cpu',
  threads: 1,
  numerics: 'exact',
  blockTokens: 32,
  cacheBudgetMb: 64,
  diskBudgetMb: 128,
};
const agents = 12;
const mostGrowth = 2;

const verdicts = [];

function judge(name, holds, figures) {
  verdicts.push(holds);
  console.log(`${holds ? 'ok   ' : 'FAIL '} ${name}: ${figures}`);
}

function options() {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string', default: '60' },
      seconds: { type: 'string' },
      seed: { type: 'string', default: '1' },
      share: { type: 'string', default: '0.2' },
      folder: { type: 'string' },
    },
  });
  const seconds = Number(values.seconds ?? Number(values.minutes) * 60);
  const numbers = { seconds, seed: Number(values.seed), share: Number(values.share) };
  for (const [name, value] of Object.entries(numbers)) {
    if (!(value > 0 || (name === 'share' && value === 0)))
      throw new Error(`--${name} takes a positive number`);
  }
  return { ...numbers, folder: values.folder };
}

/** Kills the one at random moments until the time is over; watches the other. */
async function weather(steady, killed, { seconds, seed }) {
  const random = randomOf(seed);
  const end = performance.now() + seconds * 1000;
  const period = Math.min(60_000, Math.max(8_000, seconds * 250));
  let told = performance.now();
  for (let left = end - performance.now(); left > 0; left = end - performance.now()) {
    await new Promise((resolve) => setTimeout(resolve, Math.min(left, between(random, period / 4, period))));
    steady.isAtWork();
    await killed.kill();
    if (performance.now() - told > 60_000) {
      told = performance.now();
      console.log(
        `      ${Math.round((end - told) / 60_000)} minutes left; ${killed.kills} kills, ${memoryOf(steady).join(' ')} MB`,
      );
    }
  }
}

/** MB while the first model was there, once its pool had been filled. */
function memoryOf({ looks }) {
  return looks.filter(({ model }) => model === defaultModel).map(({ memory }) => Math.round(memory.native));
}

function judgeMemory(steady) {
  const all = memoryOf(steady);
  const settled = all.slice(Math.ceil(all.length / 6));
  if (settled.length < 6)
    return console.log(`      memory: ${all.join(' ')} MB; too short a run to judge it`);
  const third = Math.floor(settled.length / 3);
  const [early, late] = [median(settled.slice(0, third)), median(settled.slice(-third))];
  const growth = 100 * (late / early - 1);
  judge(
    'memory',
    growth <= mostGrowth,
    `${early} MB in the first third, ${late} in the last: ${growth.toFixed(1)} %`,
  );
}

const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);

function judgeWork(name, host) {
  const figures = Object.entries(summary(read(host.journal))).map(([what, count]) => `${what} ${count}`);
  judge(`${name} process`, host.looks.length > 0, figures.join(', '));
  const of = (key) => sum(host.looks.map((look) => look[key]));
  console.log(
    `      ${host.looks.length} times nobody was at work, and no block was held; ${host.kills} kills, ` +
      `${of('preemptions')} requests put back, ${of('evictionsHot')} agents evicted, ${of('demotions')} gone cold; ` +
      `event loop p99 ${host.lateMs.toFixed(1)} ms`,
  );
  judge(
    `${name} folder`,
    host.files.length === 0,
    host.files.length ? host.files.join(' ') : 'empty when all agents had ended',
  );
}

/** Answers asked for again, and those that were not the same. */
function replay(task, path) {
  writeFileSync(path, JSON.stringify(task));
  const { status, stdout } = spawnSync(process.execPath, [join(here, 'replay.mjs'), path], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    maxBuffer: 1 << 30,
  });
  if (status !== 0) throw new Error(`the replay ended with ${status}`);
  return JSON.parse(stdout);
}

function judgeReplay(folder, hosts, share) {
  const journals = hosts.map(({ journal }) => journal);
  for (const model of models) {
    const task = { journals, model, engine, share: model === defaultModel ? share : 1 };
    const { turns, tokens, different } = replay(task, join(folder, 'replay.json'));
    const mayBeNone = model !== defaultModel; // a short run may be over before its turn comes
    for (const turn of different.slice(0, 3)) console.log(JSON.stringify(turn));
    judge(
      `replay of ${basename(model)}`,
      (turns > 0 || mayBeNone) && different.length === 0,
      `${turns} answers, ${tokens} tokens, ${different.length} differ`,
    );
  }
}

async function main() {
  const { folder: kept, ...setup } = options();
  const folder = kept ?? mkdtempSync(join(tmpdir(), 'stomp-soak-'));
  const task = { engine, models, agents, roundMs: Math.min(20_000, setup.seconds * 100) };
  const steady = new Host('steady', folder, { ...task, seed: setup.seed * 1000 });
  const killed = new Host('killed', folder, { ...task, seed: setup.seed * 1000 + 500 });
  steady.start();
  killed.start();
  await weather(steady, killed, setup);
  await Promise.all([steady.stop(), killed.stop()]);
  judgeMemory(steady);
  judgeWork('steady', steady);
  judgeWork('killed', killed);
  judgeReplay(folder, [steady, killed], setup.share);
  if (!kept) rmSync(folder, { recursive: true });
}

try {
  await main();
} catch (error) {
  console.error(error.message);
  verdicts.push(false);
}
const passed = verdicts.filter(Boolean).length;
console.log(`\n${passed} passed, ${verdicts.length - passed} failed`);
process.exit(passed === verdicts.length ? 0 : 1);
