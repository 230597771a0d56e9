/** Reads the command line of `stomp-serve context`: a verb, its arguments, and settings. Pure. */
import { parseArgs } from 'node:util';
import { SETTINGS, type Setting, suggestion } from '../../config/index.js';
import { StompError } from '../../errors.js';
import type { ObjectSchema } from '../../tools/parameters.js';
import { argumentsFromWords, isFree, listIn } from '../../tools/words.js';
import { type Flag, flagName, type Verb, verbs } from './verbs.js';

export interface Reading {
  readonly verb: Verb;
  readonly help: boolean;
  readonly version: boolean;
  readonly json: boolean;
  /** Of the tool. */
  readonly args: Readonly<Record<string, unknown>>;
  /** Flags that are settings, for whoever reads those. */
  readonly settings: readonly string[];
}

const settings = (SETTINGS as readonly Setting[]).filter((setting) => setting.commands.includes('context'));
const own = { json: 'boolean', help: 'boolean', version: 'boolean', config: 'string' } as const;

/** @throws StompError CONFIG_INVALID for what is not to be understood */
export function readContextArguments(args: readonly string[]): Reading {
  const { verb, rest } = verbIn(args);
  const { tokens } = parseArgs({
    args: [...rest],
    options: optionTypes(verb),
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const words = new Map<string, string[]>();
  const fixed: Record<string, unknown> = {};
  const positionals: string[] = [];
  const found = { help: false, version: false, json: false, settings: [] as string[] };
  for (const token of tokens) {
    if (token.kind === 'positional') positionals.push(token.value);
    if (token.kind !== 'option') continue;
    const flag = verb.flags.find(({ name }) => name === token.name);
    if (flag) take(flag, token, words, fixed);
    else takeOther(verb, token, found);
  }
  placePositionals(verb, positionals, words, found.help || found.version);
  const given = argumentsFromWords(schemaOf(verb), words);
  return { verb, ...found, args: { ...given, ...fixed, ...verb.fixed } };
}

/** The longest verb that the line begins with. */
function verbIn(args: readonly string[]): { verb: Verb; rest: readonly string[] } {
  for (const length of [2, 1]) {
    const words = args.slice(0, length).join(' ');
    const verb = verbs.find((one) => one.words === words);
    if (verb) return { verb, rest: args.slice(length) };
  }
  const typed = args.filter((arg) => !arg.startsWith('-')).slice(0, 2);
  const known = verbs.map(({ words }) => words);
  const below = known.filter((words) => words.startsWith(`${typed[0]} `));
  const near = suggestion(typed.join(' '), known) || suggestion(typed[0] ?? '', known);
  const what = typed.length === 0 ? 'A verb is missing.' : `"${typed.join(' ')}" is no verb.${near}`;
  const all = below.length > 0 ? below : known;
  throw wrong('verb', typed.join(' '), `${what} There are ${all.join(', ')}.`);
}

interface OptionToken {
  readonly name: string;
  readonly rawName: string;
  readonly value?: string | undefined;
  readonly inlineValue?: boolean | undefined;
}

function take(
  flag: Flag,
  token: OptionToken,
  words: Map<string, string[]>,
  fixed: Record<string, unknown>,
): void {
  if (flag.value !== undefined) {
    fixed[flag.argument] = flag.value;
    return;
  }
  words.set(flag.argument, [...(words.get(flag.argument) ?? []), textOf(token, isSwitch(flag))]);
}

function takeOther(
  verb: Verb,
  token: OptionToken,
  found: { help: boolean; version: boolean; json: boolean; settings: string[] },
): void {
  if (token.name === 'help' || token.name === 'version' || token.name === 'json') found[token.name] = true;
  else if (token.name === 'config' || settings.some(({ name }) => name === token.name))
    found.settings.push(`--${token.name}=${textOf(token, false)}`);
  else throw unknownFlag(verb, token);
}

function textOf({ value, rawName, inlineValue }: OptionToken, isSwitched: boolean): string {
  if (isSwitched) return value ?? 'true';
  if (value === undefined || (!inlineValue && /^--./.test(value)))
    throw wrong(rawName, value, `${rawName} needs a value, as in ${rawName}=VALUE.`);
  return value;
}

function placePositionals(
  { words: name, positionals }: Verb,
  given: readonly string[],
  words: Map<string, string[]>,
  askedForHelp: boolean,
): void {
  const extra = given[positionals.length];
  if (extra !== undefined)
    throw wrong('arguments', extra, `"${extra}" is one argument too many for ${name}.`);
  for (const [i, { argument, shown }] of positionals.entries()) {
    const value = given[i];
    const asFlag = words.has(argument);
    if (value !== undefined && asFlag)
      throw wrong('arguments', value, `${shown} is given twice, by itself and as --${flagName(argument)}.`);
    if (value !== undefined) words.set(argument, [value]);
    else if (!shown.startsWith('[') && !asFlag && !askedForHelp)
      throw wrong('arguments', '', `${shown} is missing: context ${name} ${shown}.`);
  }
}

function schemaOf({ flags }: Verb): ObjectSchema {
  const properties = Object.fromEntries(flags.map(({ argument, schema }) => [argument, schema] as const));
  return { type: 'object', properties, required: [], additionalProperties: false };
}

function optionTypes(verb: Verb): Record<string, { type: 'string' | 'boolean'; short?: string }> {
  const types: Record<string, { type: 'string' | 'boolean'; short?: string }> = {};
  for (const [name, type] of Object.entries(own)) types[name] = { type };
  types['help'] = { type: 'boolean', short: 'h' };
  types['version'] = { type: 'boolean', short: 'v' };
  for (const setting of settings) types[setting.name] = { type: 'string' };
  for (const flag of verb.flags) types[flag.name] = { type: isSwitch(flag) ? 'boolean' : 'string' };
  return types;
}

function isSwitch({ schema }: Flag): boolean {
  return 'type' in schema && schema.type === 'boolean';
}

/** How its value is shown in the help. */
export function placeholder(flag: Flag): string {
  const { schema } = flag;
  if (isSwitch(flag)) return '';
  if (isFree(schema)) return ' KEY=VALUE';
  if (listIn(schema)) return ' A,B';
  return 'type' in schema && (schema.type === 'integer' || schema.type === 'number') ? ' N' : ' TEXT';
}

function unknownFlag(verb: Verb, { rawName }: OptionToken): StompError {
  const names = [
    ...verb.flags.map(({ name }) => `--${name}`),
    ...settings.map(({ name }) => `--${name}`),
    ...Object.keys(own).map((name) => `--${name}`),
  ];
  const isText = verb.positionals.length > 0 && !rawName.startsWith('--');
  const dash = isText ? ' Write -- before a text that begins with a dash.' : '';
  return wrong(
    rawName,
    rawName,
    `${rawName} is not a flag of context ${verb.words}.${suggestion(rawName, names)}${dash} See stomp-serve context ${verb.words} --help.`,
  );
}

function wrong(field: string, value: unknown, message: string): StompError {
  return new StompError('CONFIG_INVALID', message, { fields: { field, value } });
}
