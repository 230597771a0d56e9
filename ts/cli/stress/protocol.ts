/** What a run and its agents tell each other. */
import type { Arena, Done, ScenarioName } from './scenario.js';

/** An agent's command line, as JSON. */
export interface WorkerSetup extends Arena {
  readonly agentId: string;
  readonly scenarios: readonly ScenarioName[];
}

export type FromWorker =
  | { readonly kind: 'ready' }
  | { readonly kind: 'done'; readonly done: Done }
  /** The guard refused: busy, lost or fenced, as it should where agents fight. */
  | { readonly kind: 'refused'; readonly scenario: ScenarioName; readonly code: string }
  /** What should not happen. */
  | { readonly kind: 'failed'; readonly scenario: ScenarioName; readonly message: string };

export type ToWorker = 'go' | 'stop';
