// The cases, written once for every side. A side is what sides/*.mjs return; a slot is one conversation of it, and a
// prompt is always the whole conversation: what of it is computed is the side's affair.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { decodeRate } from './statistics.mjs';
import { rateTogether } from './together.mjs';
import * as w from './workload.mjs';

const firstMs = (stream, since = stream.startMs) => stream.times[0].at - since;
const prefillRate = (stream, tokens) => tokens / (firstMs(stream) / 1e3);
const indices = (n) => Array.from({ length: n }, (_, i) => i);

/** One result line on standard output. */
function report(name, value, unit) {
  if (!Number.isFinite(value)) throw new Error(`${name}: no number came out`);
  process.stdout.write(`${JSON.stringify({ name, value, unit })}\n`);
}

async function warmUp(side, p) {
  await side.generate('warm', p.short(99), 8);
  await side.forget('warm');
}

async function decode(side, p) {
  await side.context({ slots: 1, tokens: w.shortContext });
  await warmUp(side, p);
  report('decode short', decodeRate([await side.generate('a', p.short(2), w.answerTokens.alone)]), 'tok/s');
}

/** One conversation that grows: at each length an answer is timed. */
async function context(side, p) {
  const room = w.answerTokens.context;
  await side.context({ slots: 1, tokens: w.promptTokens['4K'] + 2 * room });
  await warmUp(side, p);
  let conversation = [];
  for (const name of ['512', '1K', '2K', '4K']) {
    const length = w.promptTokens[name];
    const prompt = [...conversation, ...p.take(length - conversation.length, 3 + length)];
    const stream = await side.generate('a', prompt, room);
    report(`decode at ${name}`, decodeRate([stream]), 'tok/s');
    conversation = [...prompt, ...stream.tokens];
  }
}

async function sum(side, p, { agents = w.agentCounts }) {
  for (const n of agents) {
    await side.context({ slots: n, tokens: w.shortContext });
    await warmUp(side, p);
    const prompts = indices(n).map((i) => p.short(20 * n + i));
    const rate = await rateTogether(side, prompts, { maxTokens: w.answerOf(n), slot: (i) => `${n}-${i}` });
    report(`sum over ${n}`, rate, 'tok/s');
  }
}

function rateAt2K(side, p, prompts, name) {
  return rateTogether(side, prompts, {
    maxTokens: w.answerTokens.many,
    slot: (i) => `${name}-${i}`,
    more: (i) => p.take(w.tailTokens, 500 + i),
  });
}

async function sumAt2K(side, p) {
  const length = w.promptTokens['2K'];
  await side.context({ slots: w.agentsAt2K, tokens: length + w.shortContext });
  await warmUp(side, p);
  const own = indices(w.agentsAt2K).map((i) => p.take(length, 30 + i));
  report('sum over 8 at 2K private', await rateAt2K(side, p, own, 'private'), 'tok/s');
  if (!side.shares) return;
  const prefix = p.take(length - w.tailTokens, 60);
  const common = indices(w.agentsAt2K).map((i) => [...prefix, ...p.take(w.tailTokens, 61 + i)]);
  report('sum over 8 at 2K shared', await rateAt2K(side, p, common, 'shared'), 'tok/s');
}

async function prompt(side, p, { folder }) {
  await side.context({ slots: 1, tokens: w.promptTokens['6K'] + w.shortContext });
  await warmUp(side, p);
  const short = await side.generate('short', p.take(w.promptTokens['512'], 1), 1);
  report('prefill 512', prefillRate(short, w.promptTokens['512']), 'tok/s');
  await side.forget('short');

  const asked = p.take(w.promptTokens['2K'], 5);
  const cold = await side.generate('a', asked, 8);
  report('prefill 2048', prefillRate(cold, asked.length), 'tok/s');
  report('first token cold 2K', firstMs(cold), 'ms');
  if (side.shares) {
    const other = [...asked.slice(0, -w.tailTokens), ...p.take(w.tailTokens, 77)];
    report('first token shared prefix 2K', firstMs(await side.generate('b', other, 8)), 'ms');
  }
  const next = [...asked, ...cold.tokens, ...p.take(w.tailTokens, 78)];
  const back = await side.generate('a', next, 8);
  report('first token returning 2K', firstMs(back), 'ms');
  await side.save('a');
  if (!side.shares) await side.forget('a'); // one place: make room

  const long = p.take(w.promptTokens['6K'], 9);
  const cold6K = await side.generate('c', long, 8);
  report('prefill 6144', prefillRate(cold6K, long.length), 'tok/s');
  report('first token cold 6K', firstMs(cold6K), 'ms');
  await side.save('c');
  const kept = { a: [...next, ...back.tokens], c: [...long, ...cold6K.tokens] };
  writeFileSync(join(folder, 'conversations.json'), JSON.stringify(kept));
}

/** In a new process: from the request to the first token, reading the agent back included; loading the model not. */
async function restored(side, p, { folder }) {
  const kept = JSON.parse(readFileSync(join(folder, 'conversations.json'), 'utf8'));
  await side.context({ slots: 1, tokens: w.promptTokens['6K'] + w.shortContext });
  await warmUp(side, p);
  for (const [slot, name] of [
    ['a', 'first token restored 2K'],
    ['c', 'first token restored 6K'],
  ]) {
    const start = performance.now();
    await side.restore(slot, kept[slot]);
    const stream = await side.generate(slot, [...kept[slot], ...p.take(w.tailTokens, 79)], 8);
    report(name, firstMs(stream, start), 'ms');
    if (!side.shares) await side.forget(slot);
  }
}

async function loop(side, p) {
  await side.context({ slots: w.loopAgents, tokens: w.shortContext });
  await warmUp(side, p);
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  await Promise.all(
    indices(w.loopAgents).map((i) => side.generate(`l-${i}`, p.short(600 + i), w.answerTokens.loop)),
  );
  delay.disable();
  report('event loop p99', delay.percentile(99) / 1e6, 'ms');
}

const scenarios = { decode, context, sum, 'sum-2k': sumAt2K, prompt, restored, loop };

/** @param {{ group: string, folder: string, agents?: number[] }} task */
export async function runScenario(side, task) {
  const p = await w.prompts((text) => side.encode(text));
  await scenarios[task.group](side, p, task);
}
