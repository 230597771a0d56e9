/** `stomp-serve perplexity FILE`: how well a model predicts a text, in windows of 512 tokens. */
import { readFile } from 'node:fs/promises';
import { StompError } from '../../errors.js';
import type { Command, Invocation } from '../command.js';
import { loadEngine } from '../load-engine.js';
import { ProgressBar } from '../progress.js';
import { print } from '../terminal.js';
import { scoreInWindows } from '../windows.js';

export const perplexity: Command = {
  name: 'perplexity',
  usage: 'FILE',
  summary:
    'Measure how well a model predicts a text: exp of the mean negative log-likelihood, lower is better',
  arguments: [1, 1],
  run: measure,
};

const WINDOW_TOKENS = 512;

async function measure({ settings, positionals, terminal }: Invocation): Promise<number> {
  const [path = ''] = positionals;
  const text = await readText(path);
  const engine = await loadEngine(settings, terminal, { cacheDir: null });
  const bar = new ProgressBar(terminal.stderr);
  try {
    const tokens = engine.tokenizer.encode(text);
    const result = await scoreInWindows(
      tokens,
      Math.min(WINDOW_TOKENS, engine.info.contextTokens),
      (window) => engine.score(window),
      (done, total) => bar.update('Scoring', done / total, `window ${done} of ${total}`),
    );
    bar.done();
    if (!result) {
      throw new StompError(
        'INVALID_REQUEST',
        `${path} has ${tokens.length} tokens; ${WINDOW_TOKENS} are the least.`,
        {
          fields: { field: 'FILE', tokens: tokens.length },
        },
      );
    }
    const { numerics, name } = engine.info.executor;
    print(terminal, `perplexity ${result.perplexity.toFixed(4)}`);
    print(
      terminal,
      `${result.scoredTokens} tokens scored in ${result.windows} windows, executor ${name}, numerics ${numerics}`,
    );
    return 0;
  } finally {
    bar.done();
    await engine.close();
  }
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (caught) {
    throw new StompError('INVALID_REQUEST', `${path} cannot be read: ${(caught as Error).message}`, {
      cause: caught,
      fields: { field: 'FILE', value: path },
    });
  }
}
