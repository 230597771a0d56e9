// node-llama-cpp through its public API, set up as well as it allows: one context with as many sequences as agents,
// which it evaluates in one batch of up to 512 tokens. See README.md for its threads and UV_THREADPOOL_SIZE.
import { join } from 'node:path';
import { getLlama, LlamaLogLevel } from 'node-llama-cpp';
import { timed } from './stream.mjs';

async function* tokensOf(sequence, tokens, maxTokens) {
  let left = maxTokens;
  for await (const token of sequence.evaluate(tokens, { temperature: 0, yieldEogToken: true })) {
    yield [token];
    if (--left === 0) break;
  }
}

/** @param {{ model: string, folder: string, options: { threads: number, flash: boolean } }} task */
export async function open({ model: modelPath, folder, options: { threads, flash } }) {
  const llama = await getLlama({
    gpu: false,
    build: 'never',
    maxThreads: threads,
    logLevel: LlamaLogLevel.error,
  });
  const model = await llama.loadModel({ modelPath });
  let context;
  let free = [];
  let taken = new Map();

  /** The sequence of a slot, and the conversation's tokens that it has seen. */
  function place(slot) {
    const found = taken.get(slot) ?? { sequence: free.pop(), seen: 0 };
    if (!found.sequence) throw new Error('more slots than the context was made for');
    taken.set(slot, found);
    return found;
  }

  return {
    shares: false,
    encode: (text) => model.tokenize(text),
    async context({ slots, tokens }) {
      await context?.dispose();
      context = await model.createContext({
        sequences: slots,
        contextSize: tokens,
        batchSize: 512,
        threads: { ideal: threads, min: threads },
        flashAttention: flash,
      });
      free = Array.from({ length: slots }, () => context.getSequence());
      taken = new Map();
    },
    async generate(slot, prompt, maxTokens) {
      const at = place(slot);
      const stream = await timed(tokensOf(at.sequence, prompt.slice(at.seen), maxTokens), maxTokens);
      // The last token of an answer was chosen and not yet evaluated.
      at.seen = at.sequence.nextTokenIndex;
      return stream;
    },
    async forget(slot) {
      const { sequence } = place(slot);
      await sequence.clearHistory();
      free.push(sequence);
      taken.delete(slot);
    },
    save: (slot) => place(slot).sequence.saveStateToFile(join(folder, `${slot}.state`)),
    async restore(slot) {
      const at = place(slot);
      await at.sequence.loadStateFromFile(join(folder, `${slot}.state`), { acceptRisk: true });
      at.seen = at.sequence.nextTokenIndex;
    },
    // It keeps threads that outlive an orderly end.
    close: () => process.exit(0),
  };
}
