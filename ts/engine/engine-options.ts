/** The options of an engine: checked, completed, and in the units of the core. */
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import {
  checkChoice,
  checkFields,
  checkInteger,
  checkObserver,
  checkSignal,
  type NumberRule,
  refuse,
} from '../arguments.js';
import type { StompError } from '../errors.js';
import type { EngineOptions, KvBits, LoadProgress } from './types.js';

/** Every option, with its default where it was left out. */
export interface FullEngineOptions {
  executor: 'auto' | 'cpu' | 'mlx';
  threads: number;
  numerics: 'fast' | 'exact';
  kvBits: KvBits;
  blockTokens: number;
  cacheBudgetMb: number;
  maxBatchSize: number;
  prefillStepTokens: number;
  maxQueue: number;
  maxAgentsInMemory: number;
  maxContext: number;
  /** Absolute; empty: nothing is kept on disk. */
  cacheDir: string;
  diskBudgetMb: number;
  batchWindowMs: number;
  speculation: 'auto' | 'off';
  watchdogMs: number;
  script: ((prompt: string) => string | undefined) | undefined;
  onProgress: (progress: LoadProgress) => void;
  onWarning: (warning: StompError) => void;
  signal: AbortSignal | undefined;
}

const ranges = {
  threads: { min: 0, max: 1024 },
  blockTokens: { min: 16, max: 1024, multipleOf: 16 },
  cacheBudgetMb: { min: 1, max: 1 << 24 },
  diskBudgetMb: { min: 0, max: 1 << 30 },
  maxBatchSize: { min: 1, max: 64 },
  prefillStepTokens: { min: 16, max: 65536 },
  maxQueue: { min: 0, max: 1_000_000 },
  maxAgentsInMemory: { min: 0, max: 1_000_000 },
  maxContext: { min: 0, max: 1 << 24 },
  batchWindowMs: { min: 0, max: 1000 },
  watchdogMs: { min: 0, max: 86_400_000 },
} satisfies Record<string, NumberRule>;

const known = [
  ...Object.keys(ranges),
  'executor',
  'numerics',
  'cacheDir',
  'kvBits',
  'speculation',
  'script',
  'onProgress',
  'onWarning',
  'signal',
];

const ignore = (): void => undefined;

/** @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD */
export function checkEngineOptions(options: EngineOptions): FullEngineOptions {
  checkFields('options', options, known);
  const integer = (field: keyof typeof ranges, fallback: number) =>
    checkInteger(field, options[field], fallback, ranges[field]);
  return {
    executor: checkChoice('executor', options.executor, 'auto', ['auto', 'cpu', 'mlx']),
    threads: integer('threads', 0),
    numerics: checkChoice('numerics', options.numerics, 'fast', ['fast', 'exact']),
    kvBits: checkKvBits(options.kvBits),
    blockTokens: integer('blockTokens', 64),
    cacheBudgetMb: integer('cacheBudgetMb', 4096),
    maxBatchSize: integer('maxBatchSize', 16),
    prefillStepTokens: integer('prefillStepTokens', 512),
    maxQueue: integer('maxQueue', 256),
    maxAgentsInMemory: integer('maxAgentsInMemory', 0),
    maxContext: integer('maxContext', 0),
    cacheDir: checkCacheDir(options.cacheDir),
    diskBudgetMb: integer('diskBudgetMb', 20_480),
    batchWindowMs: integer('batchWindowMs', 0),
    speculation: checkChoice('speculation', options.speculation, 'auto', ['auto', 'off']),
    watchdogMs: integer('watchdogMs', 120_000),
    script: checkScript(options.script),
    onProgress: checkObserver('onProgress', options.onProgress) ?? ignore,
    onWarning: checkObserver('onWarning', options.onWarning) ?? ((warning) => process.emitWarning(warning)),
    signal: checkSignal('signal', options.signal),
  };
}

/** Where agents are kept when nothing else is said. */
export function defaultCacheDir(): string {
  return join(homedir(), '.stomp-serve', 'caches');
}

/** A path as a person writes it, `~` included. */
export function expandPath(path: string): string {
  return resolve(path.replace(/^~(?=$|[/\\])/, () => homedir()));
}

/** @throws StompError INVALID_REQUEST */
export function checkBatchWindow(ms: unknown): number {
  return checkInteger('batchWindowMs', ms, 0, ranges.batchWindowMs);
}

function checkScript(value: EngineOptions['script']): FullEngineOptions['script'] {
  if (value === undefined || typeof value === 'function') return value;
  return refuse('script', value, 'a function');
}

function checkCacheDir(value: unknown): string {
  if (value === null) return '';
  if (value === undefined) return defaultCacheDir();
  if (typeof value !== 'string' || value === '' || value.includes('\0'))
    refuse('cacheDir', value, 'a path or null');
  return expandPath(value);
}

function checkKvBits(value: unknown): KvBits {
  if (value === undefined) return 16;
  if (value === 16 || value === 8 || value === 4) return value;
  return refuse('kvBits', value, '16, 8 or 4');
}
