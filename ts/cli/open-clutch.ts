/** The clutch that the settings describe. */
import { once } from 'node:events';

import type { Clutch } from '../clutch/clutch.js';
import { openClutch } from '../clutch/open-clutch.js';
import type { EngineModels } from '../clutch/providers/engine.js';
import type { Settings } from '../config/index.js';
import type { FileGuard, Maasl } from '../guard/index.js';
import { readMcpServers, readProviders } from './clutch-files.js';

export interface ServedClutch {
  readonly settings: Settings;
  /** In whose database runs, approvals and events are. */
  readonly maasl: Maasl;
  readonly files: FileGuard;
  readonly models: EngineModels;
  /** What no audit shows. */
  readonly secrets: readonly string[];
  readonly onWarning: (error: unknown) => void;
}

/**
 * Goes on with the runs that were left.
 * @throws StompError CONFIG_INVALID, INVALID_REQUEST, DB_BUSY, PROVIDER_FAILED
 */
export async function clutchToServe(options: ServedClutch): Promise<Clutch> {
  const { settings, maasl, files, models, secrets, onWarning } = options;
  const { providers, mcpServers } = settings;
  return openClutch({
    storage: maasl.storage ?? settings.database,
    auditFolder: settings.auditDir,
    files,
    models,
    providers: providers === undefined ? {} : await readProviders(providers),
    defaultProvider: settings.defaultProvider,
    gate: settings.gate,
    gateTimeoutMs: Math.round(settings.gateTimeoutSeconds * 1000),
    fetch: settings.allowFetch ? {} : undefined,
    mcpServers: mcpServers === undefined ? [] : await readMcpServers(mcpServers),
    secrets,
    onWarning,
  });
}

/** The models of a server that is only beginning: whoever asks before the first one is there waits for it. */
export class FirstModel implements EngineModels {
  readonly #models: EngineModels;
  readonly #there = new AbortController();

  constructor(models: EngineModels) {
    this.#models = models;
  }

  isThere(): void {
    this.#there.abort();
  }

  current(): ReturnType<EngineModels['current']> {
    return this.#models.current();
  }

  async acquire(signal: AbortSignal): ReturnType<EngineModels['acquire']> {
    const either = AbortSignal.any([this.#there.signal, signal]);
    if (!either.aborted) await once(either, 'abort');
    signal.throwIfAborted();
    return this.#models.acquire(signal);
  }
}
