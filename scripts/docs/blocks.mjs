/** Blocks of code, each by what its language demands. */
import { parse as parseToml } from 'smol-toml';
import { parseAllDocuments } from 'yaml';
import { commandFaults } from './commands.mjs';
import { mermaidFaults } from './mermaid.mjs';
import { programFaults } from './programs.mjs';
import { bashFaults, typedIn } from './shell.mjs';

const script = async (text) => [...bashFaults(text), ...(await commandFaults(text))];

/** Faults of a block, by its language. Programs are checked together, for they share a compiler. */
const checks = {
  '': () => [],
  text: () => [],
  // What nginx, Caddy and systemd read; the files below docs/deploy are held against those themselves.
  nginx: () => [],
  caddy: () => [],
  ini: () => [],
  sh: script,
  console: (text) => script(typedIn(text)),
  json: (text) => faultOf(() => JSON.parse(text)),
  toml: (text) => faultOf(() => parseToml(text)),
  yaml: (text) =>
    parseAllDocuments(text).flatMap(({ errors }) => errors.map(({ message }) => firstLine(message))),
  mermaid: mermaidFaults,
};
const programs = ['js', 'mjs', 'ts'];

/**
 * @param {import('./markdown.mjs').Page[]} pages
 * @param {string} root
 */
export async function blockFaults(pages, root) {
  const all = pages.flatMap(({ path, blocks }) => blocks.map((block) => ({ path, block })));
  const ofPrograms = all.filter(({ block }) => programs.includes(block.language));
  const faults = programFaults(ofPrograms, root).map(({ index, line, message }) => {
    const { path, block } = ofPrograms[index];
    return `${path}:${block.line + line}: ${message}`;
  });
  for (const { path, block } of all.filter(({ block }) => !programs.includes(block.language))) {
    const check = checks[block.language] ?? (() => [`nothing checks blocks of "${block.language}"`]);
    for (const fault of await check(block.text)) faults.push(`${path}:${block.line}: ${fault}`);
  }
  return faults;
}

function faultOf(parse) {
  try {
    parse();
    return [];
  } catch (error) {
    return [firstLine(error.message)];
  }
}

function firstLine(text) {
  return text.split('\n')[0];
}
