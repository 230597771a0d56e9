// stomp-serve through its public API.
import { Engine } from '../../dist/index.js';
import { loopAgents } from '../workload.mjs';
import { timed } from './stream.mjs';

/** A token without text, half a character say, comes with the next chunk; at the very end only with the result. */
export async function* tokensOf(generation) {
  let count = 0;
  for await (const chunk of generation) {
    count += chunk.tokens.length;
    yield chunk.tokens;
  }
  yield (await generation.result).tokens.slice(count);
}

/**
 * @param {{ model: string, threads: number, folder: string, group: string, options: object }} task options: of the
 *   engine, over those chosen here
 */
export async function open({ model, threads, folder, group, options }) {
  const onDisk = group === 'prompt' || group === 'restored';
  const engine = await Engine.load(model, {
    executor: 'cpu',
    threads,
    cacheDir: onDisk ? folder : null,
    cacheBudgetMb: 2048,
    maxBatchSize: group === 'loop' ? loopAgents : 16,
    ...options,
  });
  return {
    shares: true,
    encode: (text) => engine.tokenizer.encode(text),
    context: async () => undefined, // one pool for all
    generate: (slot, prompt, maxTokens) =>
      timed(
        tokensOf(engine.agent(slot).generate(prompt, { maxTokens, ignoreEos: true, temperature: 0 })),
        maxTokens,
      ),
    forget: (slot) => engine.agent(slot).remove(),
    save: (slot) => engine.agent(slot).save(),
    restore: async () => undefined, // by itself, with the next request
    close: () => engine.close(),
  };
}
