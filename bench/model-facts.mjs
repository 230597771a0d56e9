// Brings the default model if need be and prints, as one JSON line, where it lies and the sizes that limits.mjs counts
// with. A process of its own: the benchmark itself loads no engine. Arguments: model file (may be missing), options.
import { defaultModel, Engine } from '../dist/index.js';
import { native } from '../dist/native.js';

const engine = await Engine.load(process.argv[2] ?? defaultModel, {
  executor: 'cpu',
  cacheDir: null,
  cacheBudgetMb: 64,
  maxContext: 512,
});
const { path, layers, vocabSize, executor } = engine.info;
const { memory, pool, blockTokens } = await engine.stats();
await engine.close();

if (!path.endsWith('.gguf')) throw new Error(`${path}: the rivals read .gguf files only`);
const metadata = native().readGgufMetadata(path);
const get = (key) => Number(metadata[`llama.${key}`]);
const dModel = get('embedding_length');
const heads = get('attention.head_count');
const kvHeads = get('attention.head_count_kv');
const headDim = metadata['llama.attention.key_length'] ? get('attention.key_length') : dModel / heads;
const attention = 2 * dModel * heads * headDim + 2 * dModel * kvHeads * headDim;
const facts = {
  weightsBytes: memory.weightsBytes,
  kvBytesPerToken: pool.reduce((sum, { blockBytes }) => sum + blockBytes, 0) / blockTokens,
  layers,
  heads,
  headDim,
  layerParams: layers * (attention + 3 * dModel * get('feed_forward_length')),
  headParams: vocabSize * dModel,
  isa: executor.isa,
};
process.stdout.write(`${JSON.stringify({ path, name: engine.info.name, facts })}\n`);
