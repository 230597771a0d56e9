/**
 * Checks the documentation: links, spelling, blocks of code, and that what is made from the sources is as they are.
 * Needs `npm run build:ts`. Exit status 1 names every fault.
 *
 *   node scripts/docs-check.mjs [--write]
 *
 * --write makes docs/configuration.md anew.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { blockFaults } from './docs/blocks.mjs';
import { configurationPage } from './docs/configuration.mjs';
import { linkFaults } from './docs/links.mjs';
import { readPage } from './docs/markdown.mjs';
import { spellingFaults } from './docs/spelling.mjs';

const root = resolve(fileURLToPath(new URL('..', import.meta.url)));
const configuration = join(root, 'docs/configuration.md');

function pages() {
  const below = readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md') && !name.startsWith('api'))
    .map((name) => `docs/${name}`);
  const paths = ['README.md', 'CHANGELOG.md', 'bench/README.md', ...below.sort()];
  return paths.map((path) => readPage(path, readFileSync(join(root, path), 'utf8')));
}

/** @returns {string[]} */
function staleness(write) {
  const page = readFileSync(configuration, 'utf8');
  const fresh = configurationPage(page);
  if (write) writeFileSync(configuration, fresh);
  return write || page === fresh
    ? []
    : ['docs/configuration.md: is older than the settings; `npm run docs:check -- --write` makes it anew'];
}

const stale = staleness(process.argv.includes('--write'));
const all = pages();
const faults = [
  ...stale,
  ...linkFaults(all, root),
  ...spellingFaults(all),
  ...(await blockFaults(all, root)),
];
for (const fault of faults) console.error(fault);
const blocks = all.reduce((sum, page) => sum + page.blocks.length, 0);
console.log(`${all.length} pages and ${blocks} blocks of code checked, ${faults.length} faults`);
process.exitCode = faults.length ? 1 : 0;
