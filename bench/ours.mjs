// One trial of stomp-serve, in a process of its own. Counts tokens as they arrive in JavaScript through the public
// API, sampling included. Arguments: model file, threads, cache folder.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Engine } from '../dist/index.js';
import * as w from './workload.mjs';

const [model, threads, cacheDir, phase = 'main'] = process.argv.slice(2);

const load = () =>
  Engine.load(model, { threads: Number(threads), cacheDir, cacheBudgetMb: 2048, maxBatchSize: 16 });

/** Runs one generation; times of its first and last token. */
async function run(generation) {
  const start = w.now();
  let first = 0;
  let last = 0;
  let count = 0;
  for await (const chunk of generation) {
    last = w.now();
    if (!first) first = last;
    count += chunk.tokens.length;
  }
  const { usage, tokens } = await generation.result;
  return { firstMs: first - start, decodeMs: last - first, count: tokens.length || count, usage, tokens };
}

const options = (maxTokens) => ({ maxTokens, ignoreEos: true, temperature: 0 });

async function main() {
  const engine = await load();
  const p = w.prompts((text) => engine.tokenizer.encode(text));
  await run(engine.complete(p.short(99), options(8))); // warm up

  const prefill = await run(engine.complete(p.take(w.prefillTokens, 1), options(1)));
  w.report('prefill 512', w.prefillTokens / (prefill.firstMs / 1e3), 'tok/s');

  const solo = await run(engine.complete(p.short(2), options(w.soloAnswerTokens)));
  w.report('decode alone', (solo.count - 1) / (solo.decodeMs / 1e3), 'tok/s');

  const long = await run(engine.complete(p.take(w.longTokens, 3), options(w.answerTokens)));
  w.report('decode at 1K', (long.count - 1) / (long.decodeMs / 1e3), 'tok/s');

  for (const agents of w.agentCounts) {
    const start = w.now();
    const runs = await Promise.all(
      Array.from({ length: agents }, (_, i) =>
        run(engine.complete(p.short(10 * agents + i), options(w.answerTokens))),
      ),
    );
    const tokens = runs.reduce((sum, r) => sum + r.count, 0);
    w.report(`sum over ${agents}`, tokens / ((w.now() - start) / 1e3), 'tok/s');
  }

  const prompt = p.take(w.returningTokens, 5);
  const cold = await run(engine.agent('bench-a').generate(prompt, options(8)));
  w.report('first token cold 2K', cold.firstMs, 'ms');
  const other = [...prompt.slice(0, -16), ...p.take(16, 77)];
  const shared = await run(engine.agent('bench-b').generate(other, options(8)));
  w.report('first token shared prefix 2K', shared.firstMs, 'ms');
  const next = [...prompt, ...cold.tokens, ...p.take(16, 78)];
  const back = await run(engine.agent('bench-a').generate(next, options(8)));
  w.report('first token returning 2K', back.firstMs, 'ms');
  await engine.agent('bench-a').save();
  await engine.close();

  const restored = spawnSync(
    process.execPath,
    [fileURLToPath(import.meta.url), model, threads, cacheDir, 'restored'],
    {
      input: JSON.stringify([...next, ...back.tokens, ...p.take(16, 79)]),
      encoding: 'utf8',
      maxBuffer: 1 << 26,
    },
  );
  if (restored.status !== 0) throw new Error(restored.stderr);
  process.stdout.write(restored.stdout);
}

async function restoredPhase() {
  let input = '';
  for await (const piece of process.stdin) input += piece;
  const engine = await load();
  const p = w.prompts((text) => engine.tokenizer.encode(text));
  await run(engine.complete(p.short(98), options(8)));
  const back = await run(engine.agent('bench-a').generate(JSON.parse(input), options(8)));
  w.report('first token restored 2K', back.firstMs, 'ms');
  await engine.close();
}

await (phase === 'restored' ? restoredPhase() : main());
