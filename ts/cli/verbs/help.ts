/** `--help` of verbs. Pure. */
import { optionEntry, optionsHelp } from '../../config/index.js';
import type { ValueSchema } from '../../tools/parameters.js';
import { listIn } from '../../tools/words.js';
import { placeholder } from './read.js';
import type { Verb, VerbSet } from './verb.js';

/** All verbs. */
export function verbsHelp({ prefix, verbs, about, exitCodes }: VerbSet): string {
  const width = Math.max(...verbs.map((verb) => usage(verb).length)) + 2;
  return [
    `Usage: stomp-serve ${prefix}VERB [options]`,
    '',
    about,
    '',
    `Verbs (stomp-serve ${prefix}VERB --help tells the options of one):`,
    ...verbs.map((verb) => `  ${usage(verb).padEnd(width)}${verb.summary}`),
    '',
    `With --json the result, or the error, is printed as JSON. Exit codes: ${exitCodes}.`,
  ].join('\n');
}

/** One of them. */
export function verbHelp(set: VerbSet, verb: Verb): string {
  const own = verb.flags.flatMap((flag) => {
    const names = [flag.name, ...(flag.also ?? [])].map((name) => `--${name}`).join(', ');
    const shown = `${names}${flag.value === undefined ? placeholder(flag) : ''}`;
    return entry(shown, `${sentence(flag.schema.description ?? '')}${choices(flag.schema)}`);
  });
  return [
    `Usage: stomp-serve ${set.prefix}${usage(verb)} [options]`,
    '',
    `${verb.summary}.`,
    '',
    'Options:',
    ...own,
    ...entry('--json', 'Print the result, or the error, as JSON.'),
    '',
    'Settings:',
    optionsHelp(set.settingsOf(verb)),
    '',
    'Lists are given as A,B or by repeating the option, objects by repeating KEY=VALUE.',
    ...(set.notes ?? []),
    `Exit codes: ${set.exitCodes}.`,
  ].join('\n');
}

function usage({ words, positionals }: Verb): string {
  return [words, ...positionals.map(({ shown }) => shown)].join(' ');
}

function entry(shown: string, description: string): string[] {
  return optionEntry(shown, sentence(description));
}

function sentence(text: string): string {
  return /[.?!]$/.test(text) ? text : `${text}.`;
}

/** What there is to choose from. */
function choices(schema: ValueSchema): string {
  const one = listIn(schema)?.items ?? schema;
  return 'enum' in one && one.enum ? ` [${one.enum.join(', ')}]` : '';
}
