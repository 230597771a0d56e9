/** Opens the registry that a server's models come from, as the settings say. */
import { modelAliases } from '../config/alias-names.js';
import type { Settings } from '../config/index.js';
import { ModelRegistry } from '../engine/model-registry.js';
import { engineOptions } from './load-engine.js';
import { ProgressBar } from './progress.js';
import { say, type Terminal } from './terminal.js';

/** Loads nothing yet; loads show their progress on standard error. @throws StompError CONFIG_INVALID */
export function openRegistry(settings: Settings, terminal: Terminal): ModelRegistry {
  const bar = new ProgressBar(terminal.stderr);
  const onWarning = (warning: Error): void => say(terminal, `stomp-serve: ${warning.message}`);
  const { modelTtlSeconds } = settings;
  const registry = new ModelRegistry({
    engine: { ...engineOptions(settings), onProgress: bar.onLoad, onWarning },
    aliases: modelAliases(settings.modelAlias ?? ''),
    drainTimeoutMs: settings.swapTimeoutSeconds * 1000,
    waitMs: settings.swapWaitSeconds * 1000,
    maxWaiting: settings.maxQueue,
    idleTtlMs: modelTtlSeconds === undefined ? undefined : modelTtlSeconds * 1000,
    onWarning,
  });
  registry.subscribe(({ type }) => {
    if (type === 'changed' || registry.current().state !== 'loading') bar.done();
  });
  return registry;
}
