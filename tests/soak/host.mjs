// A process of a soak: agents at work, models that take turns, and a look at memory and pool in between. Arguments: a
// file with its task as JSON. Says what it finds in messages; SIGTERM ends it in good order.
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout } from 'node:timers/promises';
import { residentMb } from '../../bench/experiments/memory.mjs';
import { ModelRegistry } from '../../dist/index.js';
import { Agents } from './agents.mjs';
import { Gate } from './gate.mjs';
import { randomOf } from './work.mjs';

const task = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const stop = new AbortController();
process.once('SIGTERM', () => stop.abort());
process.once('disconnect', () => process.exit(1)); // nobody listens any more
const stopping = () => stop.signal.aborted;

const random = randomOf(task.seed);
const agents = new Agents(task.journal, random);
const gate = new Gate();
const delay = monitorEventLoopDelay({ resolution: 1 });
const registry = new ModelRegistry({
  engine: { ...task.engine, cacheDir: task.cacheDir, onWarning: fail },
  onWarning: fail,
  drainTimeoutMs: 600_000,
  waitMs: 600_000,
});

/** Nothing may go wrong: whatever does ends the process, and the soak with it. */
function fail(error) {
  console.error(error);
  process.exit(1);
}

/** Waits, but not when it is over. */
const pause = (ms) => setTimeout(ms, undefined, { signal: stop.signal }).catch(() => undefined);

async function withEngine(work) {
  const lease = await registry.acquire();
  try {
    return await work(lease.engine, basename(registry.current().model));
  } finally {
    lease.release();
  }
}

async function work(slot) {
  while (!stopping()) await gate.pass(() => withEngine((engine, model) => agents.act(engine, model, slot)));
}

/** Nobody is at work: nothing may be held. */
async function look(engine, model) {
  const memory = await residentMb();
  await engine.clearCaches();
  const { pool, active, waiting, liveGenerations, preemptions, evictionsHot, demotions } =
    await engine.stats();
  const held = pool.map(({ capacity, free }) => capacity - free);
  const left = { active, waiting, liveGenerations, held: Math.max(...held) };
  if (Object.values(left).some((count) => count !== 0)) throw new Error(`left over: ${JSON.stringify(left)}`);
  process.send({ type: 'look', model, memory, preemptions, evictionsHot, demotions });
}

/** The first of the models is at work every other time. */
async function takeTurns() {
  const [first, ...others] = task.models;
  for (let round = 0; !stopping(); round++) {
    await registry.swap(round % 2 ? others[(round >> 1) % others.length] : first);
    await gate.alone(() => withEngine((engine) => agents.tidy(engine)));
    await pause(task.roundMs);
    await gate.alone(() => withEngine(look));
  }
}

/** Agents that have ended leave nothing on disk. */
async function leave() {
  for (const model of task.models) {
    await registry.swap(model);
    await withEngine(async (engine) => {
      await engine.clearCaches({ disk: true });
      if ((await engine.agents()).length > 0) throw new Error('agents are left');
    });
  }
  await registry.close();
}

try {
  await registry.load(task.models[0]);
  process.send({ type: 'begun' });
  delay.enable();
  await Promise.all([takeTurns(), ...Array.from({ length: task.agents }, (_, slot) => work(slot))]);
  delay.disable();
  await leave();
  const eventLoopMs = {
    p50: delay.percentile(50) / 1e6,
    p99: delay.percentile(99) / 1e6,
    max: delay.max / 1e6,
  };
  process.send({ type: 'end', eventLoopMs });
  process.removeAllListeners('disconnect');
  process.disconnect();
} catch (error) {
  fail(error);
}
