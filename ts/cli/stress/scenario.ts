/** What the agents of a stress run do, and how it shows afterwards whether anything was lost. */
import type { FileGuard, Maasl } from '../../guard/index.js';

export type ScenarioName = 'files' | 'db' | 'graph' | 'docs';

/** Where a run takes place; the same for all of its agents. */
export interface Arena {
  readonly folder: string;
  /** Of the locks, and what the scenario `db` guards where it is a server. */
  readonly database: string;
  /** Of leases that are not renewed because their holder is gone. */
  readonly ttlMs: number;
  readonly maxWaitMs: number;
}

/** One agent at work. */
export interface Worker extends Arena {
  readonly agentId: string;
  readonly maasl: Maasl;
  readonly files: FileGuard;
}

/** One operation that succeeded. Times are the machine's, in milliseconds. */
export interface Done {
  readonly scenario: ScenarioName;
  /** What was changed. */
  readonly target: string;
  /** How often this agent has now changed it. */
  readonly count: number;
  readonly key: string;
  readonly token: string;
  readonly askedAt: number;
  readonly acquiredAt: number;
  /** Undefined when the lease was lost meanwhile: then others may have had the key before. */
  readonly releasedAt: number | undefined;
}

/** What an agent has left behind, by agent. */
export type Counts = Readonly<Record<string, number>>;

export interface Scenario {
  readonly name: ScenarioName;
  readonly targets: readonly string[];
  /** Once, before the agents start. */
  prepare(arena: Worker): Promise<void>;
  /** One change of a target: the agent's own count in it goes up by one. */
  change(worker: Worker, target: string): Promise<Done>;
  /** What is in a target in the end. */
  counts(arena: Worker, target: string): Promise<Counts>;
}
