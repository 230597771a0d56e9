// Asks for every answer of a journal again, of an engine that nothing happens to: no other agent, no eviction, no swap,
// no kill, no speculation. Arguments: a file with { journals, model, engine, share } as JSON. Prints one line of JSON.
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { Engine } from '../../dist/index.js';
import { apply, read } from './journal.mjs';
import { randomOf } from './work.mjs';

const { journals, model, engine: options, share } = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const found = { turns: 0, tokens: 0, different: [] };

/** Turns of conversations that are chosen, each with what was said before. */
function* turnsOf(journal) {
  const random = randomOf(1);
  const chosen = new Map();
  const conversations = new Map();
  for (const entry of read(journal)) {
    if (!chosen.has(entry.id)) chosen.set(entry.id, random() < share);
    if (entry.type === 'turn' && entry.model === basename(model) && chosen.get(entry.id))
      yield { ...entry, before: conversations.get(entry.id)?.tokens ?? [] };
    if (entry.type === 'end' && chosen.get(entry.id)) yield entry;
    apply(conversations, entry);
  }
}

async function again(engine, { id, before, added, options: asked, tokens, whole }) {
  const prompt = [...before, ...added];
  const result = await engine.agent(id).generate(prompt, { ...asked, priority: 'normal' }).result;
  const expected = whole ? result.tokens : result.tokens.slice(0, tokens.length);
  found.turns++;
  found.tokens += tokens.length;
  if (!isDeepStrictEqual(tokens, expected))
    found.different.push({ id, before: before.length, added: added.length, tokens, expected });
}

for (const journal of journals) {
  const engine = await Engine.load(model, {
    ...options,
    cacheDir: null,
    speculation: 'off',
    threads: 0,
    cacheBudgetMb: 2048,
  });
  const there = new Set();
  for (const entry of turnsOf(journal)) {
    if (entry.type === 'turn') {
      await again(engine, entry);
      there.add(entry.id);
    } else if (there.delete(entry.id)) {
      await engine.agent(entry.id).remove();
    }
  }
  await engine.close();
}
process.stdout.write(`${JSON.stringify(found)}\n`);
