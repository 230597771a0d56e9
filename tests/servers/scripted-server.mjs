/**
 * A real server on a real engine whose answers are given: `scripted-server.mjs answers.json [model [cache-dir]]`.
 * The file holds `[{"match": "…", "answer": "…"}, …]`; a prompt gets the answer of the first entry whose `match`
 * stands in it, and the model's own where none does. Answers may hold the model's markers. Agents are kept in the
 * cache directory, if one is given. Prints its URL, serves until SIGTERM.
 */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';

const dist = new URL('../../dist/', import.meta.url);
const { Engine } = await import(new URL('index.js', dist).href);
const { createServer } = await import(new URL('serve/index.js', dist).href);

const [file, model = 'smollm2-135m', cacheDir = null] = process.argv.slice(2);
if (file === undefined) throw new Error('usage: scripted-server.mjs answers.json [model [cache-dir]]');
const answers = JSON.parse(readFileSync(file, 'utf8'));

const engine = await Engine.load(model, {
  cacheDir,
  cacheBudgetMb: 256,
  script: (prompt) => answers.find(({ match }) => prompt.includes(match))?.answer,
});
const server = createServer(engine, { model: basename(model) });
const { url } = await server.listen({ port: 0 });
process.stdout.write(`${url}\n`);

process.once('SIGTERM', async () => {
  await server.close();
  await engine.close();
});
