// One trial of node-llama-cpp on the same model file, in a process of its own, set up as well as its manual allows:
// one context with as many sequences as agents, batch of 512, flash attention as asked, sequences evaluated together.
// Arguments: model file, threads, folder for state files, flash attention (true or false).
import { join } from 'node:path';
import { getLlama, LlamaLogLevel } from 'node-llama-cpp';
import * as w from './workload.mjs';

const [modelPath, threads, folder, flash] = process.argv.slice(2);

const llama = await getLlama({
  gpu: false,
  build: 'never',
  maxThreads: Number(threads),
  logLevel: LlamaLogLevel.error,
});
const model = await llama.loadModel({ modelPath });
const p = w.prompts((text) => model.tokenize(text));

const context = (sequences, contextSize) =>
  model.createContext({
    sequences,
    contextSize,
    batchSize: 512,
    threads: { ideal: Number(threads), min: Number(threads) },
    flashAttention: flash === 'true',
  });

async function run(sequence, tokens, n) {
  const start = w.now();
  let first = 0;
  let last = 0;
  const out = [];
  for await (const token of sequence.evaluate(tokens, { temperature: 0, yieldEogToken: true })) {
    last = w.now();
    if (!first) first = last;
    out.push(token);
    if (out.length === n) break;
  }
  return { firstMs: first - start, decodeMs: last - first, count: out.length, tokens: out };
}

const solo = await context(1, 4096);
const sequence = solo.getSequence();
const fresh = () => sequence.clearHistory();

await run(sequence, p.short(99), 8);
await fresh();
const prefill = await run(sequence, p.take(w.prefillTokens, 1), 1);
w.report('prefill 512', w.prefillTokens / (prefill.firstMs / 1e3), 'tok/s');
await fresh();
const alone = await run(sequence, p.short(2), w.soloAnswerTokens);
w.report('decode alone', (alone.count - 1) / (alone.decodeMs / 1e3), 'tok/s');
await fresh();
const long = await run(sequence, p.take(w.longTokens, 3), w.answerTokens);
w.report('decode at 1K', (long.count - 1) / (long.decodeMs / 1e3), 'tok/s');

// Returning and restored agents: the rival keeps a sequence's state, and writes it to a file. It has no sharing between
// sequences, so a shared prefix is a cold one.
await fresh();
const prompt = p.take(w.returningTokens, 5);
const cold = await run(sequence, prompt, 8);
w.report('first token cold 2K', cold.firstMs, 'ms');
w.report('first token shared prefix 2K', cold.firstMs, 'ms');
const back = await run(sequence, p.take(16, 78), 8);
w.report('first token returning 2K', back.firstMs, 'ms');
const file = join(folder, 'state.bin');
await sequence.saveStateToFile(file);
await fresh();
const start = w.now();
await sequence.loadStateFromFile(file, { acceptRisk: true });
const loadMs = w.now() - start;
const restored = await run(sequence, p.take(16, 79), 8);
w.report('first token restored 2K', loadMs + restored.firstMs, 'ms');
await solo.dispose();

for (const agents of w.agentCounts) {
  const many = await context(agents, 256);
  const sequences = Array.from({ length: agents }, () => many.getSequence());
  const begin = w.now();
  const runs = await Promise.all(sequences.map((s, i) => run(s, p.short(10 * agents + i), w.answerTokens)));
  const tokens = runs.reduce((sum, r) => sum + r.count, 0);
  w.report(`sum over ${agents}`, tokens / ((w.now() - begin) / 1e3), 'tok/s');
  await many.dispose();
}
process.exit(0);
