/** Holds commands of the pages against the option tables of the command line, and scripts of npm against ours. */
import { readFileSync } from 'node:fs';
import { clutchVerbs } from '../../dist/cli/clutch/verbs.js';
import { contextVerbs } from '../../dist/cli/context/verbs.js';
import { reservationVerbs } from '../../dist/cli/reservations/verbs.js';
import { run } from '../../dist/cli/run.js';
import { readVerb } from '../../dist/cli/verbs/read.js';
import { CLUTCH_COMMANDS, parseArguments, RESERVATION_COMMANDS } from '../../dist/config/index.js';
import { commandsIn } from './shell.mjs';

const { scripts } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));

/** @returns {Promise<string[]>} what is wrong with commands of ours in a script */
export async function commandFaults(script) {
  const faults = [];
  for (const words of commandsIn(script)) faults.push(...(await faultsOf(words)));
  return faults;
}

async function faultsOf(words) {
  const own = ownArguments(words);
  if (own) return stompFaults(own);
  const name =
    words[0] === 'npm' && words[1] === 'run'
      ? words.find((word, i) => i > 1 && !word.startsWith('-'))
      : undefined;
  if (name !== undefined && !Object.hasOwn(scripts, name)) return [`npm has no script ${name}`];
  return [];
}

/** What follows `stomp-serve`, `npx stomp-serve` or `npm start --`. */
function ownArguments(words) {
  const [first, second] = words;
  if (first === 'stomp-serve') return words.slice(1);
  if (first === 'npx' && second === 'stomp-serve') return words.slice(2);
  if (first === 'npm' && second === 'start') return words.slice(3);
  return undefined;
}

async function stompFaults(args) {
  try {
    return await readArguments(args);
  } catch (error) {
    return [error.message];
  }
}

async function readArguments(args) {
  const [first = ''] = args;
  if (args.includes('--help') || args.includes('--version')) return helpFaults(args);
  if (first === 'context') readVerb(contextVerbs, args.slice(1));
  else if (CLUTCH_COMMANDS.includes(first)) readVerb(clutchVerbs, args);
  else if (RESERVATION_COMMANDS.includes(first)) readVerb(reservationVerbs, args);
  else if (first === '' || first.startsWith('-')) parseArguments(args, 'serve');
  else {
    parseArguments(args.slice(1), first);
    // The name of the command is known to the one that runs it.
    return helpFaults([first, '--help']);
  }
  return [];
}

/** Help is asked for truly: it opens nothing. */
async function helpFaults(args) {
  const said = [];
  const stream = { write: (text) => said.push(text) };
  const code = await run(args, { stdout: stream, stderr: stream });
  return code === 0 ? [] : [said.join('').trim().split('\n')[0]];
}
