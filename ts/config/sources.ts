/** The places settings come from, each read into one layer. Reads files; keeps nothing. */
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { parse as parseToml } from 'smol-toml';
import { StompError } from '../errors.js';
import { suggestion } from './nearest.js';
import { environmentName, SETTINGS, type Setting } from './schema.js';
import { type Origin, type Value, valueFromText, valueFromToml } from './value.js';

/** The table of the stomp guard's resource classes: the guard knows its keys, here it goes through as it is. */
export const MAASL_TABLE = 'maasl';

export type Table = Readonly<Record<string, unknown>>;

/** What a file says. */
export interface FileLayer {
  readonly settings: Layer;
  readonly maasl: Table | undefined;
}

/** Settings by flag name, each with where it was written. */
export type Layer = ReadonlyMap<string, { readonly value: Value; readonly origin: Origin }>;

export type Environment = Readonly<Record<string, string | undefined>>;

/** Names that steer the reading itself. */
export const CONFIG_VARIABLE = 'STOMP_CONFIG';
export const ENVIRONMENT_VARIABLE = 'STOMP_ENV';
/** The agent that a command line works for: no setting, as every process has its own. */
export const AGENT_VARIABLE = 'STOMP_AGENT_ID';
/** Holds the approver token of whoever decides on a command line: no setting, as it is a secret. */
export const TOKEN_VARIABLE = 'STOMP_APPROVER_TOKEN';

/** Names and beginnings of names that belong to model downloads, building, testing and measuring. */
const FOREIGN_PREFIXES = [
  'STOMP_MODEL_DIR',
  'STOMP_PACKAGE_INDEX',
  'STOMP_BUILD_',
  'STOMP_FORCE_PLATFORM',
  'STOMP_CPU_ISA',
  'STOMP_MLX',
  'STOMP_PORTABLE',
  'STOMP_REQUIRE_MLX',
  'STOMP_SKIP_MLX',
  'STOMP_TEST_',
  'STOMP_BENCH_',
];

const MAX_FILE_BYTES = 1 << 20;

const byEnvironmentName = new Map<string, Setting>(
  SETTINGS.map((setting) => [environmentName(setting.name), setting]),
);
const byTomlKey = new Map<string, Setting>(SETTINGS.map((setting) => [setting.toml, setting]));
const tomlTables = new Set(SETTINGS.map((setting) => tableOf(setting.toml)));

/** Flags as given; `values` are by flag name. */
export function layerFromFlags(values: ReadonlyMap<string, string | true>, cwd: string): Layer {
  const layer = new Map<string, { value: Value; origin: Origin }>();
  for (const setting of SETTINGS) {
    const text = values.get(setting.name);
    if (text === undefined) continue;
    const origin = `--${setting.name}`;
    layer.set(setting.name, { value: valueFromText(setting, String(text), origin, cwd), origin });
  }
  return layer;
}

/**
 * The `STOMP_…` variables. A variable that is set but empty counts as unset, as container tools write it.
 * @param place names the file for variables that are not of the process.
 */
export function layerFromEnvironment(
  variables: Environment,
  cwd: string,
  warn: (message: string) => void,
  place = '',
): Layer {
  const layer = new Map<string, { value: Value; origin: Origin }>();
  for (const [name, text] of Object.entries(variables)) {
    if (!name.startsWith('STOMP_') || text === undefined || text === '') continue;
    const setting = byEnvironmentName.get(name);
    if (setting) {
      const origin = name + place;
      layer.set(setting.name, { value: valueFromText(setting, text, origin, cwd), origin });
    } else if (!isForeign(name)) {
      warn(`${name}${place} is not a setting and is ignored.${suggestion(name, byEnvironmentName.keys())}`);
    }
  }
  return layer;
}

/** The variables of `.env` in the working directory; empty when there is none. */
export function readDotEnv(cwd: string): Environment {
  const text = readOptional(join(cwd, '.env'));
  return text === undefined ? {} : (parseEnv(text) as Environment);
}

/**
 * A TOML file, or an empty layer when it does not exist and need not.
 * @throws StompError `CONFIG_INVALID` for a file that is missing, unreadable, not TOML, or names a
 * setting that does not exist.
 */
export function layerFromToml(path: string, cwd: string, required: boolean): FileLayer {
  const text = readOptional(path);
  if (text === undefined) {
    if (!required) return { settings: new Map(), maasl: undefined };
    throw new StompError('CONFIG_INVALID', `The configuration file ${path} does not exist.`, {
      fields: { field: 'config', value: path, source: path },
    });
  }
  return layerFromDocument(parseDocument(text, path), path, cwd);
}

function layerFromDocument(document: Record<string, unknown>, path: string, cwd: string): FileLayer {
  const layer = new Map<string, { value: Value; origin: Origin }>();
  const { [MAASL_TABLE]: maasl, ...rest } = document;
  if (maasl !== undefined && !isTable(maasl)) throw noTable(MAASL_TABLE, path);
  for (const [key, raw] of flatten(rest, path)) {
    const setting = byTomlKey.get(key);
    if (!setting) throw unknownKey(key, [...byTomlKey.keys()], path);
    const origin = `${key} in ${path}`;
    layer.set(setting.name, { value: valueFromToml(setting, raw, origin, cwd), origin });
  }
  return { settings: layer, maasl };
}

/** `table.key` pairs of a document that is one table deep. */
function* flatten(document: Record<string, unknown>, path: string): Generator<[string, unknown]> {
  for (const [table, content] of Object.entries(document)) {
    if (!isTable(content) || !tomlTables.has(table)) {
      const names = isTable(content) ? [...tomlTables, MAASL_TABLE] : [...byTomlKey.keys()];
      throw unknownKey(table, names, path);
    }
    for (const [key, raw] of Object.entries(content)) yield [`${table}.${key}`, raw];
  }
}

function parseDocument(text: string, path: string): Record<string, unknown> {
  try {
    return parseToml(text);
  } catch (cause) {
    const reason = cause instanceof Error ? (cause.message.split('\n')[0] ?? '') : String(cause);
    const where = cause instanceof Error && 'line' in cause ? ` (line ${String(cause.line)})` : '';
    throw new StompError('CONFIG_INVALID', `${path} is not valid TOML${where}: ${reason}`, {
      cause,
      fields: { field: 'config', value: path, source: path },
    });
  }
}

function unknownKey(key: string, candidates: readonly string[], path: string): StompError {
  const near = suggestion(key, candidates);
  return new StompError('CONFIG_INVALID', `${path}: "${key}" is not a setting.${near}`, {
    fields: { field: key, allowed: candidates.join(', '), source: path },
  });
}

function noTable(key: string, path: string): StompError {
  return new StompError('CONFIG_INVALID', `${path}: "${key}" must be a table: write [${key}].`, {
    fields: { field: key, allowed: 'a table', source: path },
  });
}

function readOptional(path: string): string | undefined {
  try {
    if (statSync(path).size > MAX_FILE_BYTES) throw new Error('the file is larger than 1 MB');
    return readFileSync(path, 'utf8');
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new StompError('CONFIG_INVALID', `${path} cannot be read: ${reason}`, {
      cause,
      fields: { field: 'config', value: path, source: path },
    });
  }
}

function isForeign(name: string): boolean {
  return (
    name === CONFIG_VARIABLE ||
    name === ENVIRONMENT_VARIABLE ||
    name === AGENT_VARIABLE ||
    name === TOKEN_VARIABLE ||
    FOREIGN_PREFIXES.some((prefix) => name.startsWith(prefix))
  );
}

function isTable(content: unknown): content is Record<string, unknown> {
  return (
    typeof content === 'object' && content !== null && !Array.isArray(content) && !(content instanceof Date)
  );
}

function tableOf(toml: string): string {
  return toml.slice(0, toml.indexOf('.'));
}
