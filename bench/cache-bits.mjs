// What fewer bits of cached keys and values cost: `npm run bench:cache-bits`. Perplexity of the default model on the
// windows of tests/fixtures/golden/smollm2-perplexity.json (tests/fixtures/text/perplexity.txt), and bytes a token.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { defaultModel, Engine } from '../dist/index.js';

const golden = new URL('../tests/fixtures/golden/smollm2-perplexity.json', import.meta.url);
const widths = [16, 8, 4];
const blockTokens = 64;
const ways = [
  { executor: 'cpu', numerics: 'fast' },
  { executor: 'cpu', numerics: 'exact' },
  { executor: 'mlx' }, // has one kind of numerics
];

/** @returns {Promise<{ perplexity: number, tokenBytes: number }>} */
async function measure(windows, way, kvBits) {
  const engine = await Engine.load(defaultModel, {
    ...way,
    kvBits,
    blockTokens,
    cacheBudgetMb: 256,
    cacheDir: null,
  });
  try {
    let nll = 0;
    let scored = 0;
    for (const { ids } of windows) {
      const { logprobs } = await engine.score(ids);
      for (const logprob of logprobs) nll -= logprob;
      scored += logprobs.length;
    }
    const { pool } = await engine.stats();
    const tokenBytes = pool.reduce((sum, group) => sum + group.blockBytes / blockTokens, 0);
    return { perplexity: Math.exp(nll / scored), tokenBytes };
  } finally {
    await engine.close();
  }
}

/** One line for each width, the first being what the others are compared with. */
async function lines(windows, way) {
  const written = [];
  let whole;
  for (const kvBits of widths) {
    const own = await measure(windows, way, kvBits);
    whole ??= own;
    const more = `${((own.perplexity / whole.perplexity - 1) * 100).toFixed(2)} %`;
    const room = (own.tokenBytes / whole.tokenBytes).toFixed(3);
    written.push(
      `| ${way.executor} | ${way.numerics ?? 'its own'} | ${kvBits} | ${own.perplexity.toFixed(3)} | ${more} | ${own.tokenBytes} | ${room} |`,
    );
    process.stderr.write(`${written.at(-1)}\n`);
  }
  return written;
}

const usage = 'npm run bench:cache-bits -- [--executor cpu|mlx]   (both unless told)\n';
try {
  const { values } = parseArgs({ options: { executor: { type: 'string' }, help: { type: 'boolean' } } });
  const chosen = ways.filter(({ executor }) => !values.executor || values.executor === executor);
  if (values.help || chosen.length === 0) {
    process.stdout.write(usage);
    process.exitCode = values.help ? 0 : 1;
  } else {
    const { windows } = JSON.parse(readFileSync(golden, 'utf8'));
    const table = [
      '| executor | numerics | bits | perplexity | more | bytes a token | of 16 |',
      '|---|---|---:|---:|---:|---:|---:|',
    ];
    for (const way of chosen) table.push(...(await lines(windows, way)));
    process.stdout.write(`${table.join('\n')}\n`);
  }
} catch (error) {
  process.stderr.write(`npm run bench:cache-bits: ${error.message}\n`);
  process.exitCode = 1;
}
