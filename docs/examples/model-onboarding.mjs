/**
 * Looks at a model that you bring: whether it loads, as what, and whether its template, its tools, its cache and its
 * numbers are right. What is not understood is refused by its name. Exit status 1 where something is wrong, with what it
 * may be.
 *
 *   node docs/examples/model-onboarding.mjs [MODEL]
 *
 * docs/models.md names the families, and how one is added.
 */
import { Engine, StompError } from 'stomp-serve';

const model = process.argv[2] ?? 'smollm2-135m';
const options = { cacheDir: null, blockTokens: 16, numerics: 'exact' }; // so that equal means equal to the bit
const engine = await Engine.load(model, options).catch((error) => {
  if (!(error instanceof StompError)) throw error;
  console.error(`${error.code}: ${error.message}`); // MODEL_UNSUPPORTED, MODEL_INVALID, MODEL_NOT_FOUND, …
  process.exit(1);
});
const { family, layers, contextTokens, toolFormat, executor } = engine.info;
console.log(
  `family ${family}, ${layers} layers, ${contextTokens} tokens of context, computed by ${executor.name}`,
);
console.log(
  'chat template:',
  toolFormat === undefined ? 'none: use generate()' : `calls of tools as ${toolFormat}`,
);

/** A finding in one line; where it is not as it should be, also what that means. */
function report(finding, asItShould, meaning) {
  console.log(`${finding}: ${asItShould}`);
  if (asItShould) return;
  console.error(meaning);
  process.exitCode = 1;
}

// A text that the model knows is likelier than the same words upside down; a broken model finds no difference.
const text = 'The sun rises in the east and sets in the west.';
const likely = (await engine.score(text)).logprobs.reduce((sum, one) => sum + one, 0);
const unlikely = (await engine.score(text.split(' ').reverse().join(' '))).logprobs.reduce(
  (sum, one) => sum + one,
  0,
);
report(
  'finds English likelier than its reverse',
  likely > unlikely,
  'It does not know English, or its numbers are wrong: a damaged or truncated file (compare its checksum), weights that ' +
    'were never trained, a conversion that has mixed up tensors or the tokenizer. Bring it anew, or from elsewhere; do ' +
    'not serve it.',
);

// Two of the same question at once and one by itself give the same tokens, and so does a cache.
const ask = (agent) => agent.chat('Count to five.', { maxTokens: 16 }).text();
const alone = await ask(engine.agent('alone'));
const [first, second] = await Promise.all([ask(engine.agent('first')), ask(engine.agent('second'))]);
report(
  'same alone, in a batch and from the cache',
  first === alone && second === alone,
  'Answers depend on who else is served. On the CPU executor that is a fault of stomp-serve: please tell its maintainers. ' +
    'On a GPU sums are made in other orders in a batch, and near-ties may fall either way.',
);
await engine.close();
