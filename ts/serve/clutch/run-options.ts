/** What runs can be asked for at a server, for those who let a person choose. */
import type { GatePolicy } from '../../clutch/runs/run.js';

/** What a run may choose from, as whoever opened the clutch knows it. */
export interface RunOptions {
  /** Who may answer. The default model of the own engine is the one that is loaded. */
  readonly providers: readonly { readonly name: string; readonly defaultModel: string }[];
  readonly defaultProvider: string | undefined;
  /** Folders in which runs may work. */
  readonly baseDirs: readonly string[];
  /** Of runs that say nothing; only whoever decides approvals may start runs with less of a gate. */
  readonly gate: GatePolicy;
}

/** Of a server that was told nothing. */
export const noRunOptions: RunOptions = {
  providers: [],
  defaultProvider: undefined,
  baseDirs: [],
  gate: 'all',
};

export function runOptionsWire({ providers, defaultProvider, baseDirs, gate }: RunOptions): object {
  return {
    providers: providers.map(({ name, defaultModel }) => ({ name, default_model: defaultModel })),
    ...(defaultProvider === undefined ? {} : { default_provider: defaultProvider }),
    base_dirs: baseDirs,
    gate,
  };
}
