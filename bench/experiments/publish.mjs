// Keeps the last finding of every experiment in bench/results/experiments.json and writes docs/experiments.md from it, so
// that a run of some of them renews only those.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { replaceBlocks } from '../generated.mjs';
import { ids, load } from './list.mjs';
import { details, overview } from './report.mjs';

const store = fileURLToPath(new URL('../results/experiments.json', import.meta.url));
const document = fileURLToPath(new URL('../../docs/experiments.md', import.meta.url));

/** Findings by id: those of a run in the place of older ones. One that failed to run replaces none. Pure. */
export function merged(known, entries) {
  const fresh = entries
    .filter(({ finding }) => finding.verdict !== 'failed')
    .map(({ id, finding, on }) => [id, { finding, on }]);
  return Object.fromEntries(Object.entries({ ...known, ...Object.fromEntries(fresh) }).sort());
}

/**
 * @param {import('./report.mjs').Entry[]} entries of one run
 * @returns {Promise<string>} the document's path
 */
export async function publish(entries) {
  const known = existsSync(store) ? JSON.parse(readFileSync(store, 'utf8')) : {};
  const all = merged(known, entries);
  writeFileSync(store, `${JSON.stringify(all, undefined, 2)}\n`);
  const shown = [];
  for (const id of ids) shown.push({ id, about: (await load(id)).about, ...all[id] });
  const text = replaceBlocks(readFileSync(document, 'utf8'), {
    overview: overview(shown),
    findings: details(shown),
  });
  writeFileSync(document, text);
  return document;
}
