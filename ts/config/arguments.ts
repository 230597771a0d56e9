/** Turns a command line into flags by name and positional arguments, for any subcommand. Pure. */
import { parseArgs } from 'node:util';
import { StompError } from '../errors.js';
import { suggestion } from './nearest.js';
import { type Command, SETTINGS, type Setting } from './schema.js';

export interface ParsedArguments {
  readonly flags: ReadonlyMap<string, string | true>;
  readonly positionals: readonly string[];
  readonly help: boolean;
  readonly version: boolean;
}

/** Flags that are no settings; `config` takes a file. */
const EXTRA_OPTIONS = {
  config: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean', short: 'v' },
} as const;

/**
 * Parses what follows the subcommand.
 * @throws StompError `CONFIG_INVALID` for an unknown flag, one that belongs to another subcommand, or a
 * missing value.
 */
export function parseArguments(args: readonly string[], command: Command): ParsedArguments {
  const { tokens } = parseArgs({
    args: joinNegativeNumbers(args),
    options: optionTypes(),
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const flags = new Map<string, string | true>();
  const positionals: string[] = [];
  for (const token of tokens) {
    if (token.kind === 'positional') positionals.push(token.value);
    if (token.kind === 'option') flags.set(token.name, flagValue(token, command));
  }
  const help = flags.delete('help');
  const version = flags.delete('version');
  return { flags, positionals, help, version };
}

interface OptionToken {
  readonly name: string;
  readonly rawName: string;
  readonly value?: string | undefined;
  readonly inlineValue?: boolean | undefined;
}

function flagValue(token: OptionToken, command: Command): string | true {
  const setting = settingNamed(token.name);
  const extra = Object.hasOwn(EXTRA_OPTIONS, token.name);
  if (!setting && !extra) throw unknownFlag(token, command);
  if (setting && !setting.commands.includes(command)) throw foreignFlag(token, setting, command);
  return takesValue(token.name) ? requiredValue(token) : (token.value ?? true);
}

function requiredValue(token: OptionToken): string {
  const value = token.value;
  if (value === undefined || (!token.inlineValue && value.startsWith('--'))) {
    throw new StompError('CONFIG_INVALID', `${token.rawName} needs a value, as in ${token.rawName}=VALUE.`, {
      fields: { field: token.name, source: token.rawName },
    });
  }
  return value;
}

function unknownFlag(token: OptionToken, command: Command): StompError {
  const names = flagNames(command);
  return new StompError(
    'CONFIG_INVALID',
    `${token.rawName} is not a flag of ${command}.${suggestion(token.rawName, names)} ` +
      `See stomp-serve ${command} --help.`,
    { fields: { field: token.name, allowed: names.join(', '), source: token.rawName } },
  );
}

function foreignFlag(token: OptionToken, setting: Setting, command: Command): StompError {
  return new StompError(
    'CONFIG_INVALID',
    `${token.rawName} does not apply to ${command}; it belongs to ${setting.commands.join(', ')}.`,
    { fields: { field: token.name, source: token.rawName } },
  );
}

function flagNames(command: Command): string[] {
  const own = (SETTINGS as readonly Setting[]).filter((setting) => setting.commands.includes(command));
  return [
    ...own.map((setting) => `--${setting.name}`),
    ...Object.keys(EXTRA_OPTIONS).map((name) => `--${name}`),
  ];
}

function optionTypes(): Record<string, { type: 'string' | 'boolean'; short?: string }> {
  const types: Record<string, { type: 'string' | 'boolean'; short?: string }> = { ...EXTRA_OPTIONS };
  for (const setting of SETTINGS as readonly Setting[]) {
    types[setting.name] = { type: setting.type === 'boolean' ? 'boolean' : 'string' };
  }
  return types;
}

function settingNamed(name: string): Setting | undefined {
  return (SETTINGS as readonly Setting[]).find((setting) => setting.name === name);
}

function takesValue(name: string): boolean {
  const setting = settingNamed(name);
  return setting ? setting.type !== 'boolean' : name === 'config';
}

/** `--port -1` as `--port=-1`, so that the range check answers and not the parser. */
function joinNegativeNumbers(args: readonly string[]): string[] {
  const joined: string[] = [];
  for (const arg of args) {
    const last = joined.at(-1);
    const isValue = /^-\.?\d/.test(arg) && last?.startsWith('--') && takesValue(last.slice(2));
    if (isValue) joined[joined.length - 1] = `${last}=${arg}`;
    else joined.push(arg);
  }
  return joined;
}
