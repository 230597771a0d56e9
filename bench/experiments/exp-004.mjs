// Can one sequence of a batch be taken out, kept, and gone on with?
import { answer, indices, withEngine } from './engines.mjs';
import { inProcess } from './processes.mjs';
import { figure, judged } from './verdict.mjs';

export const about = {
  question: 'Can each sequence of a batch be taken out, kept on disk and gone on with?',
  method:
    'three agents answer in one batch, each is saved and evicted; another process brings them back and they answer again in ' +
    'one batch; compared with three that were never interrupted',
  target: 'the same tokens (numerics exact), all but the new ones read from disk',
};

const agents = indices(3);
const lengths = [150, 430, 700];
const answerTokens = 32;
const exact = { numerics: 'exact' };

/** One turn of each, all at once. */
const together = (engine, conversations) =>
  Promise.all(agents.map((i) => answer(engine, `agent-${i}`, conversations[i], answerTokens)));

async function resumed({ model, folder, conversations }) {
  return withEngine(model, { ...exact, cacheDir: folder }, async (engine) => {
    const results = await together(engine, conversations);
    return { turns: results.map(({ tokens, usage }) => ({ tokens, usage })) };
  });
}

export const phases = { resumed };

export async function run(task) {
  const { model, folder } = task;
  const grow = (conversations, results, take) =>
    agents.map((i) => [...conversations[i], ...results[i].tokens, ...take(16, 50 + i)]);

  const begun = await withEngine(model, { ...exact, cacheDir: folder }, async (engine, take) => {
    const conversations = agents.map((i) => take(lengths[i], i));
    const results = await together(engine, conversations);
    for (const i of agents) await engine.agent(`agent-${i}`).evict();
    return { conversations: grow(conversations, results, take), tiers: await engine.agents() };
  });
  const never = await withEngine(model, exact, async (engine, take) => {
    const conversations = agents.map((i) => take(lengths[i], i));
    const next = grow(conversations, await together(engine, conversations), take);
    return { conversations: next, turns: await together(engine, next) };
  });
  const { turns } = await inProcess({ ...task, phase: 'resumed', conversations: begun.conversations });

  const faults = agents.flatMap((i) => {
    const wanted = begun.conversations[i].length - 16 - 1;
    return [
      ...(begun.tiers[i].tier === 'warm' ? [] : [`agent ${i} was not evicted`]),
      ...(String(turns[i].tokens) === String(never.turns[i].tokens)
        ? []
        : [`agent ${i} goes on differently`]),
      ...(turns[i].usage.restoredTokens >= wanted
        ? []
        : [`agent ${i} read ${turns[i].usage.restoredTokens} of ${wanted} tokens back`]),
    ];
  });
  const figures = agents.map((i) =>
    figure(
      `agent ${i}: read back, of ${begun.conversations[i].length}`,
      turns[i].usage.restoredTokens,
      'tokens',
    ),
  );
  return judged(figures, faults, `${answerTokens} tokens each, the same`);
}
