/** Loads an engine as the settings say, with progress on standard error. */
import type { Settings } from '../config/index.js';
import { Engine } from '../engine/engine.js';
import type { EngineOptions, KvBits } from '../engine/types.js';
import { ProgressBar } from './progress.js';
import { say, type Terminal } from './terminal.js';

/** The part of the settings that is the engine's. */
export function engineOptions(settings: Settings): EngineOptions {
  return {
    executor: settings.executor,
    threads: settings.threads ?? 0,
    numerics: settings.numerics,
    kvBits: settings.kvBits as KvBits,
    blockTokens: settings.blockTokens,
    cacheBudgetMb: settings.cacheBudgetMb,
    maxBatchSize: settings.maxBatchSize,
    prefillStepTokens: settings.prefillStepTokens,
    maxQueue: settings.maxQueue,
    maxAgentsInMemory: settings.maxAgentsInMemory ?? 0,
    maxContext: settings.maxContext ?? 0,
    cacheDir: settings.cacheDir,
    diskBudgetMb: settings.diskBudgetMb,
    batchWindowMs: settings.batchWindowMs,
    speculation: settings.speculation,
    watchdogMs: settings.watchdogSeconds * 1000,
  };
}

/** @throws StompError as `Engine.load` does. */
export async function loadEngine(
  settings: Settings,
  terminal: Terminal,
  overrides: EngineOptions = {},
): Promise<Engine> {
  const bar = new ProgressBar(terminal.stderr);
  try {
    return await Engine.load(settings.model, {
      ...engineOptions(settings),
      onProgress: bar.onLoad,
      onWarning: (warning) => say(terminal, `stomp-serve: ${warning.message}`),
      ...overrides,
    });
  } finally {
    bar.done();
  }
}
