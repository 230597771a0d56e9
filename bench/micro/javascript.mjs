// Micro-benchmarks of what JavaScript sees: the way into the addon and back, tokenizer and detokenizer. The model is a
// tiny one, so that computing costs next to nothing.
import { fileURLToPath } from 'node:url';
import Benchmark from 'benchmark';
import { Engine } from '../../dist/index.js';
import { native } from '../../dist/native.js';
import { text } from '../workload.mjs';

const fixture = fileURLToPath(new URL('../../tests/fixtures/models/tiny-llama-bf16', import.meta.url));

/** Seconds of one call, measured by the library until its error is small. */
function secondsOf(name, work) {
  return new Promise((resolve, reject) => {
    const benchmark = new Benchmark(name, {
      defer: true,
      maxTime: 1,
      fn: (deferred) =>
        work().then(
          () => deferred.resolve(),
          (error) => {
            benchmark.abort();
            reject(error);
          },
        ),
    });
    benchmark.on('complete', () => resolve(benchmark.stats.mean));
    benchmark.run({ async: true });
  });
}

function secondsOfCall(name, work) {
  const benchmark = new Benchmark(name, { maxTime: 1, fn: work });
  benchmark.run();
  if (benchmark.error) throw benchmark.error;
  return benchmark.stats.mean;
}

const options = (maxTokens) => ({ maxTokens, ignoreEos: true, temperature: 0 });

async function bindingFigures(engine) {
  const prompt = engine.tokenizer.encode('A lighthouse');
  const request = (tokens) => () => engine.complete(prompt, options(tokens)).result;
  const call = secondsOfCall('call', () => native().cpuFeatures());
  const stats = await secondsOf('stats', () => engine.stats());
  const one = await secondsOf('one token', request(1));
  const many = await secondsOf('33 tokens', request(33));
  return [
    { name: 'binding: a call into the addon', value: call * 1e9, unit: 'ns' },
    { name: 'binding: engine.stats(), there and back', value: stats * 1e9, unit: 'ns' },
    { name: 'binding: a request of one token, start to end', value: one * 1e9, unit: 'ns' },
    { name: 'binding: each further token, tiny model', value: ((many - one) / 32) * 1e9, unit: 'ns' },
  ];
}

/** A stream's text piece by piece, as every answer is made. */
function pieceByPiece(tokenizer, tokens) {
  const pieces = tokenizer.detokenizer();
  for (const token of tokens) pieces.push(token);
}

async function textFigures(model) {
  const engine = await Engine.load(model, { cacheDir: null, cacheBudgetMb: 64, maxContext: 512 });
  try {
    const { tokenizer } = engine;
    const tokens = tokenizer.encode(text);
    const rate = (seconds) => tokens.length / seconds;
    return [
      ['tokenizer: encode', secondsOfCall('encode', () => tokenizer.encode(text))],
      ['tokenizer: decode', secondsOfCall('decode', () => tokenizer.decode(tokens))],
      ['detokenizer: token by token', secondsOfCall('pieces', () => pieceByPiece(tokenizer, tokens))],
    ].map(([name, seconds]) => ({ name, value: rate(seconds), unit: 'tok/s' }));
  } finally {
    await engine.close();
  }
}

/** @param {string} model the model whose tokenizer is measured */
export async function javascriptFigures(model) {
  const engine = await Engine.load(fixture, {
    executor: 'cpu',
    threads: 1,
    cacheDir: null,
    cacheBudgetMb: 64,
  });
  try {
    return [...(await bindingFigures(engine)), ...(await textFigures(model))];
  } finally {
    await engine.close();
  }
}
