// The command line of the experiments.
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { defaultModel } from '../../dist/index.js';
import { ids } from './list.mjs';

export const help = `npm run experiments [-- [ID …] [options]]
  ID             run only these, e.g. 001 005
  --list         say what each asks, and run nothing
  --model NAME   a model or a path (${defaultModel}); the document is about the default one and stays as it is then
  --json FILE    also write what was found as JSON
  --no-docs      leave docs/experiments.md alone
  --strict       exit with status 1 also when a target is missed
  --help         this text`;

const definitions = {
  list: { type: 'boolean', default: false },
  model: { type: 'string', default: defaultModel },
  json: { type: 'string' },
  'no-docs': { type: 'boolean', default: false },
  strict: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
};

/** `001` of `1`, `001` or `EXP-001`. @throws Error when there is no such experiment */
function idOf(text) {
  const number = text.replace(/^exp-/i, '');
  const id = number.padStart(3, '0');
  if (!/^\d+$/.test(number) || !ids.includes(id))
    throw new Error(`${text}: expected one of ${ids.join(', ')}`);
  return id;
}

/** @param {string[]} args @throws Error that says what is wrong, and how */
export function parseOptions(args) {
  const { values, positionals } = parseArgs({ args, options: definitions, allowPositionals: true });
  const chosen = positionals.map(idOf);
  return {
    ids: chosen.length === 0 ? [...ids] : ids.filter((id) => chosen.includes(id)),
    list: values.list,
    model: values.model,
    threads: availableParallelism(),
    json: values.json === undefined ? undefined : resolve(values.json),
    docs: !values['no-docs'] && values.model === defaultModel,
    strict: values.strict,
    help: values.help,
  };
}
