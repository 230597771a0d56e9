// What drafts gain where an answer repeats its prompt: a file is said again, by one agent and by two.
//   node bench/micro/speculation.mjs [model]
import { Engine } from '../../dist/index.js';

const lines = Array.from(
  { length: 12 },
  (_, i) => `  set_${i}(value) { this.field_${i} = value; return ${i * 7}; }`,
);
const file = `class Store {\n${lines.join('\n')}\n}\n`;
const prompt = `${file}\n// The same again\n${file}\n// The same again\n`;
const options = { maxTokens: 250, ignoreEos: true };

async function measure(speculation, agents) {
  const engine = await Engine.load(process.argv[2] ?? 'smollm2-135m', { speculation, cacheDir: null });
  try {
    const answers = Array.from({ length: agents }, () => engine.complete(prompt, options).result);
    const results = await Promise.all(answers);
    const ms = Math.max(...results.map(({ usage }) => usage.totalMs - usage.firstTokenMs));
    const sum = (key) => results.reduce((total, { usage }) => total + usage[key], 0);
    const [drafted, accepted] = [sum('draftedTokens'), sum('acceptedTokens')];
    return { texts: results.map(({ text }) => text), ms, drafted, accepted };
  } finally {
    await engine.close();
  }
}

for (const agents of [1, 2, 4]) {
  const off = await measure('off', agents);
  const auto = await measure('auto', agents);
  if (auto.texts.join() !== off.texts.join()) throw new Error('drafts have changed an answer');
  const gain = (off.ms / auto.ms).toFixed(2);
  console.log(
    `${agents} agents: ${gain} times as fast; ${auto.accepted} of ${auto.drafted} drafted tokens accepted`,
  );
}
