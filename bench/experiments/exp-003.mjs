// Is an answer from a cache the answer of a cold run?
import { answer, withEngine } from './engines.mjs';
import { inProcess } from './processes.mjs';
import { figure, judged } from './verdict.mjs';

export const about = {
  question: 'Can a cache be injected, and the answer be that of a cold run?',
  method:
    'a second turn of an agent goes on from its own cache, from that of a fork, from blocks that another agent has left and ' +
    'from a file in another process; each is compared with the same prompt behind a salt of its own, which finds no cache',
  target: 'the same tokens with the same log-probabilities, to the bit (numerics exact)',
};

const promptTokens = 600;
const answerTokens = 48;
const exact = { numerics: 'exact' };
const withLogprobs = { topLogprobs: 0 };

const essence = ({ tokens, logprobs, usage }) => ({
  tokens,
  logprobs: logprobs.map(({ logprob }) => logprob),
  usage,
});

async function turn(engine, id, prompt, more = {}) {
  return essence(await answer(engine, id, prompt, answerTokens, { ...withLogprobs, ...more }));
}

async function restored({ model, folder, prompt }) {
  return withEngine(model, { ...exact, cacheDir: folder }, (engine) => turn(engine, 'kept', prompt));
}

export const phases = { restored };

/** How an answer differs from the cold one, or took nothing from where it should have. */
function faultsOf(name, found, cold, field) {
  const faults = [];
  if (String(found.tokens) !== String(cold.tokens)) faults.push(`${name} has other tokens`);
  else if (String(found.logprobs) !== String(cold.logprobs))
    faults.push(`${name} has other log-probabilities`);
  if (found.usage[field] < promptTokens - 64) faults.push(`${name} found ${found.usage[field]} tokens only`);
  return faults;
}

export async function run(task) {
  const { model, folder } = task;
  const here = await withEngine(model, { ...exact, cacheDir: folder }, async (engine, take) => {
    const begun = await answer(engine, 'own', take(promptTokens, 1), answerTokens);
    const prompt = [...take(promptTokens, 1), ...begun.tokens, ...take(16, 2)];
    await engine.agent('own').fork('fork');
    const kept = await engine.agent('own').fork('kept');
    await kept.save();
    return {
      prompt,
      cold: await turn(engine, 'cold', prompt, { cacheSalt: 'cold' }),
      'its own cache': await turn(engine, 'own', prompt),
      'a fork': await turn(engine, 'fork', prompt),
      'shared blocks': await turn(engine, 'stranger', prompt),
    };
  });
  const { prompt, cold, ...warm } = here;
  const ways = { ...warm, 'a file': await inProcess({ ...task, phase: 'restored', prompt }) };
  const fields = {
    'its own cache': 'ownTokens',
    'a fork': 'ownTokens',
    'shared blocks': 'sharedTokens',
    'a file': 'restoredTokens',
  };
  const faults = Object.entries(fields).flatMap(([name, field]) => faultsOf(name, ways[name], cold, field));
  if (cold.usage.cachedTokens > 0)
    faults.push(`the cold run found ${cold.usage.cachedTokens} tokens in a cache`);
  const figures = Object.entries(fields).map(([name, field]) =>
    figure(`from ${name}, of ${prompt.length} tokens`, ways[name].usage[field], 'tokens'),
  );
  return judged(figures, faults, `${answerTokens} tokens each, equal to the bit`);
}
