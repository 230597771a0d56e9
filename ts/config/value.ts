/** One value of one setting: from text or TOML to its checked form. Pure, but for the home directory. */
import { homedir } from 'node:os';
import { resolve } from 'node:path';
import { StompError } from '../errors.js';
import { environmentName, type Setting } from './schema.js';

export type Value = string | number | boolean;

/** Where a value came from, in words a user can search for: `--port`, `STOMP_PORT in .env`. */
export type Origin = string;

/**
 * A value written as text, on the command line or in the environment.
 * @throws StompError `CONFIG_INVALID`, with `field`, `value`, `allowed` and `source`.
 */
export function valueFromText(setting: Setting, text: string, origin: Origin, cwd: string): Value {
  switch (setting.type) {
    case 'boolean':
      return fromBooleanText(setting, text, origin);
    case 'integer':
    case 'number':
    case 'number-choice':
      if (!/^[+-]?(\d+\.?\d*|\.\d+)$/.test(text.trim())) throw invalid(setting, text, origin);
      return check(setting, Number(text), origin, cwd);
    default:
      return check(setting, text, origin, cwd);
  }
}

/** A value from a TOML document, where numbers and booleans have types of their own. */
export function valueFromToml(setting: Setting, raw: unknown, origin: Origin, cwd: string): Value {
  const expected = jsType(setting);
  if (typeof raw !== expected) throw invalid(setting, raw, origin);
  return check(setting, raw as Value, origin, cwd);
}

/** What a setting accepts, in words: `an integer from 1 to 64`. */
export function allowedValues(setting: Setting): string {
  switch (setting.type) {
    case 'integer':
      return `${integerKind(setting.step)} from ${setting.min} to ${setting.max}`;
    case 'number':
      return `a number from ${setting.min} to ${setting.max}`;
    case 'choice':
    case 'number-choice':
      return `one of ${setting.allowed.join(', ')}`;
    case 'boolean':
      return 'true or false';
    case 'path':
      return 'a path';
    case 'string':
      return 'a text that is not empty';
  }
}

/** The error for a value that cannot be had; `reason` replaces the standard sentence. */
export function invalid(setting: Setting, raw: unknown, origin: Origin, reason?: string): StompError {
  const shown = typeof raw === 'string' ? JSON.stringify(raw) : describe(raw);
  const why = reason ?? `it must be ${allowedValues(setting)}`;
  return new StompError('CONFIG_INVALID', `${origin}: ${shown} is not possible: ${why}.`, {
    fields: {
      field: setting.name,
      value: typeof raw === 'string' ? raw : shown,
      allowed: allowedValues(setting),
      source: origin,
      environment: environmentName(setting.name),
    },
  });
}

/** `~` and `~/…` with the home directory put in. */
export function expandHome(path: string): string {
  return path === '~' || path.startsWith('~/') ? homedir() + path.slice(1) : path;
}

function fromBooleanText(setting: Setting, text: string, origin: Origin): boolean {
  const word = text.trim().toLowerCase();
  if (word === 'true' || word === '1') return true;
  if (word === 'false' || word === '0') return false;
  throw invalid(setting, text, origin);
}

function check(setting: Setting, value: Value, origin: Origin, cwd: string): Value {
  if (!isAllowed(setting, value)) throw invalid(setting, value, origin);
  if (setting.type === 'path') return resolve(cwd, expandHome(String(value)));
  return setting.type === 'string' ? expandHome(String(value)) : value;
}

function isAllowed(setting: Setting, value: Value): boolean {
  switch (setting.type) {
    case 'integer':
      return within(setting, value as number) && (value as number) % (setting.step ?? 1) === 0;
    case 'number':
      return within(setting, value as number);
    case 'choice':
      return setting.allowed.includes(value as string);
    case 'number-choice':
      return setting.allowed.includes(value as number);
    case 'boolean':
      return typeof value === 'boolean';
    default:
      return String(value).trim() !== '' && !String(value).includes('\0');
  }
}

function integerKind(step: number | undefined): string {
  return step === undefined ? 'an integer' : `a multiple of ${step}`;
}

function within(range: { readonly min: number; readonly max: number }, value: number): boolean {
  return value >= range.min && value <= range.max;
}

function jsType(setting: Setting): 'number' | 'boolean' | 'string' {
  if (setting.type === 'boolean') return 'boolean';
  return setting.type === 'integer' || setting.type === 'number' || setting.type === 'number-choice'
    ? 'number'
    : 'string';
}

function describe(raw: unknown): string {
  if (typeof raw === 'number' || typeof raw === 'boolean') return String(raw);
  if (Array.isArray(raw)) return 'a list';
  return raw instanceof Date ? 'a date' : `a ${typeof raw}`;
}
