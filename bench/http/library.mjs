// The side without HTTP: answers `{ streams, ms }` by IPC with the tokens that as many agents got in this time, and in all.
import { Engine } from '../../dist/index.js';
import { question, tokensOfAnswer } from './work.mjs';

const engine = await Engine.load(process.argv[2], { cacheDir: null, cacheBudgetMb: 256 });

async function client(number, end) {
  let tokens = 0;
  let all = 0;
  const agent = engine.agent(`bench-${number}`);
  for (let turn = 0; performance.now() < end; turn++) {
    const messages = [{ role: 'user', content: question(number, turn) }];
    for await (const piece of agent.chat(messages, { maxTokens: tokensOfAnswer, ignoreEos: true })) {
      all += piece.tokens.length;
      if (performance.now() < end) tokens = all;
    }
  }
  return { tokens, all };
}

process.on('message', async ({ streams, ms }) => {
  const end = performance.now() + ms;
  const clients = await Promise.all(Array.from({ length: streams }, (_, i) => client(i, end)));
  const sum = (name) => clients.reduce((total, counts) => total + counts[name], 0);
  process.send({ tokens: sum('tokens'), all: sum('all') });
});
process.once('disconnect', () => engine.close());
process.send('ready');
