/**
 * Puts the layers of settings together: flags > environment > `.env` > `--config` file or `./stomp.toml`
 * > `config/<STOMP_ENV>.toml` > the package's `config/default.toml` > the defaults of the schema.
 */
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { StompError } from '../errors.js';
import {
  type Command,
  SETTINGS,
  type Setting,
  type SettingName,
  type Settings,
  settingKey,
} from './schema.js';
import {
  CONFIG_VARIABLE,
  ENVIRONMENT_VARIABLE,
  type Environment,
  type FileLayer,
  type Layer,
  layerFromEnvironment,
  layerFromFlags,
  layerFromToml,
  readDotEnv,
  type Table,
} from './sources.js';
import { expandHome, invalid, type Origin, type Value } from './value.js';

export interface ResolveOptions {
  /** Whose refusals count: a value that only another command would use does not stop this one. */
  readonly command: Command;
  /** Flags by name, as the command line gave them. */
  readonly flags?: ReadonlyMap<string, string | true>;
  readonly env?: Environment;
  readonly cwd?: string;
  /** Folder with `config/default.toml`; the package's own unless a test says otherwise. */
  readonly packageRoot?: string;
}

export interface Resolved {
  readonly settings: Settings;
  /** Where each value was written; `default` for those of the schema. */
  readonly origins: Readonly<Record<SettingName, Origin>>;
  /** The table `[maasl]` of the file that has one first; the guard checks it. */
  readonly maasl: Table;
  /** Things worth telling that stop nothing. */
  readonly warnings: readonly string[];
}

const PACKAGE_ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

/**
 * Reads every source and checks every value.
 * @throws StompError `CONFIG_INVALID` naming the field, the value, what is allowed and the source.
 */
export function resolveSettings(options: ResolveOptions): Resolved {
  const cwd = options.cwd ?? process.cwd();
  const env = options.env ?? process.env;
  const flags = options.flags ?? new Map<string, string | true>();
  const dotEnv = readDotEnv(cwd);
  const warnings: string[] = [];
  const warn = (message: string): void => void warnings.push(message);
  const variable = (name: string): string | undefined => env[name] || dotEnv[name] || undefined;

  const files = [
    userFile(flags.get('config') ?? variable(CONFIG_VARIABLE), cwd),
    ...packageFiles(variable(ENVIRONMENT_VARIABLE), cwd, options.packageRoot ?? PACKAGE_ROOT),
  ];
  const layers: Layer[] = [
    layerFromFlags(flags, cwd),
    layerFromEnvironment(env, cwd, warn),
    layerFromEnvironment(dotEnv, cwd, warn, ' in .env'),
    ...files.map(({ settings }) => settings),
  ];
  const maasl = files.find((file) => file.maasl !== undefined)?.maasl ?? {};
  return { ...merge(layers, options.command, cwd), maasl, warnings };
}

function merge(
  layers: readonly Layer[],
  command: Command,
  cwd: string,
): Omit<Resolved, 'warnings' | 'maasl'> {
  const settings: Record<string, Value | undefined> = {};
  const origins: Record<string, Origin> = {};
  for (const setting of SETTINGS as readonly Setting[]) {
    const found = layers.find((layer) => layer.has(setting.name))?.get(setting.name);
    const origin = found?.origin ?? 'default';
    const value = found?.value ?? defaultValue(setting, cwd);
    refuseUnavailable(setting, value, origin, command);
    settings[settingKey(setting.name)] = value;
    origins[setting.name] = origin;
  }
  return { settings: settings as unknown as Settings, origins: origins as Record<SettingName, Origin> };
}

function refuseUnavailable(
  setting: Setting,
  value: Value | undefined,
  origin: Origin,
  command: Command,
): void {
  if (!setting.refuse || !setting.commands.includes(command)) return;
  const reason = setting.refuse(value as never);
  if (reason !== undefined) throw invalid(setting, value, origin, reason);
}

function defaultValue(setting: Setting, cwd: string): Value | undefined {
  const value = setting.default;
  if (value === undefined) return undefined;
  if (setting.type === 'path') return resolve(cwd, expandHome(String(value)));
  return setting.type === 'string' ? expandHome(String(value)) : value;
}

function userFile(named: string | true | undefined, cwd: string): FileLayer {
  return typeof named === 'string'
    ? layerFromToml(resolve(cwd, expandHome(named)), cwd, true)
    : layerFromToml(join(cwd, 'stomp.toml'), cwd, false);
}

function packageFiles(environment: string | undefined, cwd: string, packageRoot: string): FileLayer[] {
  const base = layerFromToml(join(packageRoot, 'config', 'default.toml'), cwd, false);
  if (environment === undefined) return [base];
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(environment)) {
    throw environmentError(environment, 'a name is letters, digits, - and _');
  }
  const candidates = [cwd, packageRoot].map((folder) => join(folder, 'config', `${environment}.toml`));
  const path = candidates.find((candidate) => existsSync(candidate));
  if (path === undefined) {
    throw environmentError(environment, `none of these files exists: ${candidates.join(', ')}`);
  }
  return [layerFromToml(path, cwd, true), base];
}

function environmentError(environment: string, reason: string): StompError {
  const shown = JSON.stringify(environment);
  return new StompError('CONFIG_INVALID', `${ENVIRONMENT_VARIABLE}: ${shown} is not possible: ${reason}.`, {
    fields: { field: ENVIRONMENT_VARIABLE, value: environment, source: ENVIRONMENT_VARIABLE },
  });
}
