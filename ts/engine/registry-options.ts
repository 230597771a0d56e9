/** The options of a model registry: checked and completed. */
import { checkFields, checkInteger, checkObserver, refuse } from '../arguments.js';
import type { StompError } from '../errors.js';
import { native } from '../native.js';
import { Engine } from './engine.js';
import { modelFolder, resolveModel } from './models/registry.js';
import { servedNames } from './models/served-names.js';
import type { AgentInfo, EngineOptions, LoadProgress } from './types.js';

/** What a registry asks of an engine. */
export interface RegistryEngine {
  /** Saves every agent and gives all memory back. */
  close(): Promise<void>;
  /** The agents in memory and on disk; asked for before the engine is unloaded for want of requests. */
  agents?(): Promise<AgentInfo[]>;
  /** Moves all agents to disk. */
  clearCaches?(options: { disk?: boolean }): Promise<void>;
}

/** What `prepare` gets of the engine's options. */
export interface PrepareOptions {
  /** Called often while something is downloaded. */
  readonly onProgress: (progress: LoadProgress) => void;
  /** Aborted when the model is not wanted any more. */
  readonly signal: AbortSignal;
}

/** How a registry loads models, and how long it waits. */
export interface ModelRegistryOptions<E extends RegistryEngine = Engine> {
  /** Options of every engine; those given to `load` and `swap` go before. */
  engine?: EngineOptions | undefined;
  /** Loads a model. @default Engine.load */
  load?: ((model: string, options: EngineOptions) => Promise<E>) | undefined;
  /**
   * Brings a model to this machine while the one before it is still at work. @default what `Engine.load` does first,
   * unless `load` is given
   */
  prepare?: ((model: string, options: PrepareOptions) => Promise<unknown>) | undefined;
  /** Further names, each for the model that it stands for. */
  aliases?: Readonly<Record<string, string>> | undefined;
  /** Folder in which `available()` looks. @default that of downloads */
  modelDir?: string | undefined;
  /** How long running requests may go on before they are cancelled for a swap. @default 30000 */
  drainTimeoutMs?: number | undefined;
  /** How long a request waits for a model that is being exchanged before it is refused. @default 30000 */
  waitMs?: number | undefined;
  /** Requests that may wait so; one more is refused at once. @default 256 */
  maxWaiting?: number | undefined;
  /** A model without requests for this long is unloaded; the next request loads it again. @default never */
  idleTtlMs?: number | undefined;
  /** Failures with no caller to reject. @default process.emitWarning */
  onWarning?: ((warning: StompError) => void) | undefined;
}

/** Every option, with its default where it was left out. */
export interface FullRegistryOptions<E extends RegistryEngine> {
  engine: EngineOptions;
  load: (model: string, options: EngineOptions) => Promise<E>;
  prepare: (model: string, options: PrepareOptions) => Promise<unknown>;
  aliases: ReadonlyMap<string, string>;
  modelDir: string;
  drainTimeoutMs: number;
  waitMs: number;
  maxWaiting: number;
  /** 0: never. */
  idleTtlMs: number;
  onWarning: (warning: StompError) => void;
}

/** A model that was asked for. */
export interface Target {
  /** What the loader gets. */
  readonly model: string;
  readonly id: string;
  readonly aliases: readonly string[];
  readonly options: Omit<EngineOptions, 'signal'>;
  /** Ends this load early; nothing that comes later. */
  readonly signal: AbortSignal | undefined;
}

/** What a timer can count to. */
const MAX_MS = 2 ** 31 - 1;

const known = [
  'engine',
  'load',
  'prepare',
  'aliases',
  'modelDir',
  'drainTimeoutMs',
  'waitMs',
  'maxWaiting',
  'idleTtlMs',
  'onWarning',
];

/** @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD */
export function checkRegistryOptions<E extends RegistryEngine>(
  options: ModelRegistryOptions<E>,
): FullRegistryOptions<E> {
  checkFields('options', options, known);
  const ms = (field: 'drainTimeoutMs' | 'waitMs' | 'idleTtlMs', fallback: number, min: number) =>
    checkInteger(field, options[field], fallback, { min, max: MAX_MS });
  const { load, prepare } = options;
  return {
    engine: options.engine ?? {},
    // A registry of engines that are not `Engine`s comes with their loader.
    load: checkFunction('load', load) ?? (Engine.load as unknown as FullRegistryOptions<E>['load']),
    prepare: checkFunction('prepare', prepare) ?? (load ? async () => undefined : bring),
    aliases: checkAliases(options.aliases ?? {}),
    modelDir: checkFolder(options.modelDir) ?? modelFolder(),
    drainTimeoutMs: ms('drainTimeoutMs', 30_000, 0),
    waitMs: ms('waitMs', 30_000, 0),
    maxWaiting: checkInteger('maxWaiting', options.maxWaiting, 256, { min: 0, max: 1_000_000 }),
    idleTtlMs: ms('idleTtlMs', 0, 1),
    onWarning: checkObserver('onWarning', options.onWarning) ?? ((warning) => process.emitWarning(warning)),
  };
}

/** @throws StompError INVALID_REQUEST */
export function targetOf(
  name: string,
  { signal, ...options }: EngineOptions,
  aliases: ReadonlyMap<string, string>,
): Target {
  if (typeof name !== 'string' || name === '' || name.length > 4096 || name.includes('\0'))
    refuse('model', name, 'a name, path or hub id');
  const model = aliases.get(name) ?? name;
  const served = servedNames(model);
  const names = [served.id, ...served.aliases];
  const further = [...aliases].filter(([, stands]) => names.includes(stands)).map(([alias]) => alias);
  return { model, id: served.id, aliases: [...served.aliases, ...further], options, signal };
}

function checkAliases(aliases: Readonly<Record<string, string>>): ReadonlyMap<string, string> {
  if (typeof aliases !== 'object' || aliases === null) refuse('aliases', aliases, 'an object');
  for (const [alias, model] of Object.entries(aliases)) {
    if (alias === '' || alias.length > 200) refuse('aliases', alias, 'names of 1 to 200 characters');
    if (typeof model !== 'string' || model === '') refuse(`aliases.${alias}`, model, 'the name of a model');
  }
  return new Map(Object.entries(aliases));
}

function checkFolder(value: unknown): string | undefined {
  if (value === undefined || (typeof value === 'string' && value !== '')) return value;
  return refuse('modelDir', value, 'a path');
}

function checkFunction<F>(field: string, value: F | undefined): F | undefined {
  if (value !== undefined && typeof value !== 'function') refuse(field, value, 'a function');
  return value;
}

async function bring(model: string, options: PrepareOptions): Promise<unknown> {
  native(); // before a model is brought for nothing
  return resolveModel(model, options);
}
