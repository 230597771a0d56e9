// What a form costs: eight agents whose answers are held to a JSON Schema against the same eight without one, and how
// long a running stream waits while a large list of tools is made a grammar. `npm run bench:guided`.
import { defaultModel, Engine } from '../dist/index.js';
import { machine } from './machine.mjs';
import { decodeRate, median, summary } from './statistics.mjs';

const agents = 8;
const tokens = 96;
const rounds = 7;

const text = { type: 'string' };
/** Strings that are long enough for all the tokens, so that no answer ends early. */
const schema = {
  type: 'object',
  properties: {
    name: { ...text, maxLength: 40 },
    age: { type: 'integer' },
    tags: { type: 'array', items: { ...text, maxLength: 20 }, minItems: 3 },
    story: { ...text, minLength: 2000 },
  },
  required: ['name', 'age', 'tags', 'story'],
  additionalProperties: false,
};
const formed = { responseFormat: { type: 'json_schema', schema } };

async function read(generation) {
  const times = [];
  for await (const chunk of generation) times.push({ at: performance.now(), count: chunk.tokens.length });
  const { tokens: said } = await generation.result;
  if (said.length !== tokens) throw new Error(`an answer has ${said.length} tokens, not ${tokens}`);
  return { times };
}

/** Tokens a second of eight answers at once. */
async function rate(engine, options) {
  const asked = Array.from({ length: agents }, (_, seed) =>
    engine.chat(`Tell me about person ${seed}.`, {
      maxTokens: tokens,
      ignoreEos: true,
      temperature: 1,
      seed,
      ...options,
    }),
  );
  return decodeRate(await Promise.all(asked.map(read)));
}

/** A list of about 4K tokens with formats and counted strings; no two lists are alike. */
function toolList(round) {
  const format = (name) => ({ ...text, format: name });
  return Array.from({ length: 24 }, (_, i) => ({
    name: `tool_${round}_${i}`,
    strict: true,
    parameters: {
      type: 'object',
      properties: {
        mail: format('email'),
        host: format('hostname'),
        when: format('date-time'),
        [`note_${i}`]: { ...text, minLength: 1, maxLength: 200 },
      },
      required: ['mail'],
      additionalProperties: false,
    },
  }));
}

/** Steps of a stream that runs while a request with new tools arrives, and cancels before it is computed. */
async function stall(engine, round) {
  const stop = new AbortController();
  const stream = engine.chat('Count to a thousand.', { ignoreEos: true, signal: stop.signal });
  const times = [];
  const reading = (async () => {
    for await (const _ of stream) {
      times.push(performance.now());
      if (times.length === 60) {
        const asked = engine.chat('Call.', { tools: toolList(round), toolChoice: 'required', maxTokens: 1 });
        void asked.started.then(
          () => asked.cancel(),
          () => undefined,
        );
        void asked.result.finally(() => stop.abort());
      }
    }
  })();
  await reading.catch((error) => {
    if (error?.name !== 'AbortError' && error?.code !== 'CANCELLED') throw error;
  });
  return Math.max(...times.slice(1).map((at, i) => at - times[i]));
}

const engine = await Engine.load(defaultModel, { cacheDir: null });
try {
  await rate(engine, {});
  await rate(engine, formed);
  const ratios = [];
  const free = [];
  const held = [];
  for (let round = 0; round < rounds; round++) {
    free.push(await rate(engine, {}));
    held.push(await rate(engine, formed));
    ratios.push(held[round] / free[round]);
  }
  const stalls = [];
  for (let round = 0; round < rounds; round++) stalls.push(await stall(engine, round));
  const { cpu, cores, node } = machine();
  const ratio = summary(ratios);
  console.log(
    `${cpu}, ${cores} cores, Node ${node}, ${agents} agents of ${tokens} tokens, ${rounds} rounds\n`,
  );
  console.log(`free:  ${median(free).toFixed(1)} tokens/s`);
  console.log(`form:  ${median(held).toFixed(1)} tokens/s`);
  console.log(`ratio: ${ratio.median.toFixed(3)} (${ratio.low.toFixed(3)} to ${ratio.high.toFixed(3)})`);
  console.log(`longest wait of a stream beside new tools: ${median(stalls).toFixed(1)} ms`);
} finally {
  await engine.close();
}
