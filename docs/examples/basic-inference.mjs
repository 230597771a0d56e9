/**
 * One agent, two questions: the second one finds the first in the agent's cache.
 *
 *   node docs/examples/basic-inference.mjs [MODEL]
 *
 * MODEL is what `Engine.load` takes: a known name, a .gguf file, a folder, a hub id. See docs/models.md.
 */
import { Engine } from 'stomp-serve';

const engine = await Engine.load(process.argv[2] ?? 'smollm2-135m', { cacheDir: null });
const agent = engine.agent('keeper');

const first = agent.chat('What is a lighthouse for?', { system: 'You are brief.', maxTokens: 24 });
for await (const chunk of first) if (chunk.type === 'text') process.stdout.write(chunk.text);
const { usage, finishReason } = await first.result; // the text is whole, and the agent remembers it
console.log(
  `\nfirst: ${usage.computedTokens} tokens computed, ${usage.cachedTokens} from the cache, ${finishReason}`,
);

const second = agent.chat('And who lives in it?', { maxTokens: 24 }); // only what is new is computed
await second.text();
const { usage: again } = await second.result;
console.log(`second: ${again.computedTokens} tokens computed, ${again.cachedTokens} from the cache`);
await engine.close();
