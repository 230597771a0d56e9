/** Reads a command line: a verb, its arguments, and settings. Pure. */
import { parseArgs } from 'node:util';
import { SETTINGS, type Setting, suggestion } from '../../config/index.js';
import { StompError } from '../../errors.js';
import type { ObjectSchema } from '../../tools/parameters.js';
import { argumentsFromWords, isFree, listIn } from '../../tools/words.js';
import { type Flag, flagName, type Positional, type Verb, type VerbSet } from './verb.js';

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

const own = { json: 'boolean', help: 'boolean', version: 'boolean', config: 'string' } as const;

/** @throws StompError CONFIG_INVALID for what is not to be understood */
export function readVerb(set: VerbSet, args: readonly string[]): Reading {
  const { verb, rest } = verbIn(set, args);
  const settings = settingsOf(set, verb);
  const { tokens } = parseArgs({
    args: [...rest],
    options: optionTypes(verb, settings),
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
    const flag = verb.flags.find((one) => namesOf(one).includes(token.name));
    if (flag) take(flag, token, words, fixed);
    else takeOther(set, verb, token, settings, found);
  }
  const lists = placePositionals(set, verb, positionals, words, found.help || found.version);
  const given = argumentsFromWords(schemaOf(verb), words);
  return { verb, ...found, args: { ...given, ...lists, ...fixed, ...verb.fixed } };
}

function settingsOf(set: VerbSet, verb: Verb): readonly Setting[] {
  const command = set.settingsOf(verb);
  return (SETTINGS as readonly Setting[]).filter((setting) => setting.commands.includes(command));
}

/** The longest verb that the line begins with. */
function verbIn({ verbs }: VerbSet, args: readonly string[]): { verb: Verb; rest: readonly string[] } {
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
  set: VerbSet,
  verb: Verb,
  token: OptionToken,
  settings: readonly Setting[],
  found: { help: boolean; version: boolean; json: boolean; settings: string[] },
): void {
  if (token.name === 'help' || token.name === 'version' || token.name === 'json') found[token.name] = true;
  else if (token.name === 'config' || settings.some(({ name }) => name === token.name))
    found.settings.push(`--${token.name}=${textOf(token, false)}`);
  else throw unknownFlag(set, verb, token, settings);
}

function textOf({ value, rawName, inlineValue }: OptionToken, isSwitched: boolean): string {
  if (isSwitched) return value ?? 'true';
  if (value === undefined || (!inlineValue && /^--./.test(value)))
    throw wrong(rawName, value, `${rawName} needs a value, as in ${rawName}=VALUE.`);
  return value;
}

/** @returns what stands there as lists, where a comma is no more than that. */
function placePositionals(
  set: VerbSet,
  verb: Verb,
  given: readonly string[],
  words: Map<string, string[]>,
  askedForHelp: boolean,
): Record<string, readonly string[]> {
  const { words: name, positionals } = verb;
  const last = positionals.at(-1);
  const single = last?.isList ? positionals.slice(0, -1) : positionals;
  const rest = given.slice(single.length);
  const [extra] = rest;
  if (extra !== undefined && !last?.isList)
    throw wrong('arguments', extra, `"${extra}" is one argument too many for ${set.prefix}${name}.`);
  for (const [i, one] of single.entries()) placeOne(set, verb, one, given[i], words, askedForHelp);
  if (!last?.isList) return {};
  if (rest.length === 0 && !isOptional(last) && !askedForHelp) throw missing(set, verb, last);
  return rest.length > 0 ? { [last.argument]: rest } : {};
}

function placeOne(
  set: VerbSet,
  verb: Verb,
  one: Positional,
  value: string | undefined,
  words: Map<string, string[]>,
  askedForHelp: boolean,
): void {
  const { argument, shown } = one;
  const asFlag = words.has(argument);
  if (value !== undefined && asFlag)
    throw wrong('arguments', value, `${shown} is given twice, by itself and as --${flagName(argument)}.`);
  if (value !== undefined) words.set(argument, [value]);
  else if (!isOptional(one) && !asFlag && !askedForHelp) throw missing(set, verb, one);
}

function isOptional({ shown }: Positional): boolean {
  return shown.startsWith('[');
}

function missing({ prefix }: VerbSet, { words }: Verb, { shown }: Positional): StompError {
  return wrong('arguments', '', `${shown} is missing: ${prefix}${words} ${shown}.`);
}

function schemaOf({ flags }: Verb): ObjectSchema {
  const properties = Object.fromEntries(flags.map(({ argument, schema }) => [argument, schema] as const));
  return { type: 'object', properties, required: [], additionalProperties: false };
}

function optionTypes(
  verb: Verb,
  settings: readonly Setting[],
): Record<string, { type: 'string' | 'boolean'; short?: string }> {
  const types: Record<string, { type: 'string' | 'boolean'; short?: string }> = {};
  for (const [name, type] of Object.entries(own)) types[name] = { type };
  types['help'] = { type: 'boolean', short: 'h' };
  types['version'] = { type: 'boolean', short: 'v' };
  for (const setting of settings) types[setting.name] = { type: 'string' };
  for (const flag of verb.flags)
    for (const name of namesOf(flag)) types[name] = { type: isSwitch(flag) ? 'boolean' : 'string' };
  return types;
}

function namesOf({ name, also = [] }: Flag): readonly string[] {
  return [name, ...also];
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

function unknownFlag(
  { prefix }: VerbSet,
  verb: Verb,
  { rawName }: OptionToken,
  settings: readonly Setting[],
): StompError {
  const names = [
    ...verb.flags.flatMap(namesOf).map((name) => `--${name}`),
    ...settings.map(({ name }) => `--${name}`),
    ...Object.keys(own).map((name) => `--${name}`),
  ];
  const isText = verb.positionals.length > 0 && !rawName.startsWith('--');
  const dash = isText ? ' Write -- before a text that begins with a dash.' : '';
  return wrong(
    rawName,
    rawName,
    `${rawName} is not a flag of ${prefix}${verb.words}.${suggestion(rawName, names)}${dash} See stomp-serve ${prefix}${verb.words} --help.`,
  );
}

function wrong(field: string, value: unknown, message: string): StompError {
  return new StompError('CONFIG_INVALID', message, { fields: { field, value } });
}
