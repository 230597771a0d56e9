/** What runs can be asked for at a server, for those who let a person choose. */
import type { Clutch } from '../../clutch/clutch.js';

export function runOptionsWire({
  providerNames,
  defaults,
}: Pick<Clutch, 'providerNames' | 'defaults'>): object {
  return {
    providers: providerNames.map((name) => ({ name, default_model: defaults.defaultModel(name) })),
    default_provider: defaults.provider,
    base_dirs: defaults.files.roots,
    gate: defaults.gate,
  };
}
