/** What a model registry tells of its model. */
import type { StompError } from '../errors.js';
import type { LoadProgress } from './types.js';

/**
 * `unloaded`: there is none; `loading`; `ready`; `draining`: the last requests end and its agents are saved before
 * it goes; `failed`: it could not be loaded.
 */
export type ModelState = 'unloaded' | 'loading' | 'ready' | 'draining' | 'failed';

/** The model of a registry, as it is now. */
export interface ModelStatus {
  readonly state: ModelState;
  /** Name it is served under. In `unloaded`: of the one that comes back with the next request, if any. */
  readonly model: string | undefined;
  /** Other names for it. */
  readonly aliases: readonly string[];
  /** The one that is to take its place. */
  readonly next: string | undefined;
  /** Whether requests wait for the model rather than being refused. */
  readonly awaited: boolean;
  /** Unloaded for want of requests: the next one loads it again. */
  readonly asleep: boolean;
  /** Of the download or load under way. */
  readonly progress: LoadProgress | undefined;
  /** Why the last load failed, in `failed`. */
  readonly failure: StompError | undefined;
  /** Unix time at which it became ready. */
  readonly loadedAtMs: number | undefined;
  /** Leases that are held. */
  readonly requests: number;
  /** Requests that wait for the model. */
  readonly waiting: number;
}

/** What a load, unload or swap has done. */
export interface ModelChange {
  /** The one that is loaded now. */
  readonly model: string | undefined;
  /** The one that was loaded before. */
  readonly previous: string | undefined;
  /** False: the model was there already. */
  readonly changed: boolean;
  /** Waiting for requests to end. */
  readonly drainMs: number;
  /** Saving every agent and giving the memory back. */
  readonly closeMs: number;
  /** Loading; a download before it, with the old model still at work, is not part of it. */
  readonly loadMs: number;
  /** All of these: how long no model was ready. */
  readonly totalMs: number;
  /** Requests that had to be cancelled because they took longer than the time-out. */
  readonly cancelledRequests: number;
  /** Memory of the process: at the beginning, between the two models, at the end. */
  readonly rssBytes: { readonly before: number; readonly between: number; readonly after: number };
  /** Why some agents could not be saved. */
  readonly unsaved: StompError | undefined;
}

/** What listeners of a registry hear. */
export type ModelEvent =
  | { readonly type: 'state'; readonly status: ModelStatus }
  | { readonly type: 'changed'; readonly change: ModelChange };

/** What a change has done that found its model there. @param rss memory of the process, in bytes */
export function nothingChanged(model: string | undefined, rss: number): ModelChange {
  return {
    model,
    previous: model,
    changed: false,
    drainMs: 0,
    closeMs: 0,
    loadMs: 0,
    totalMs: 0,
    cancelledRequests: 0,
    rssBytes: { before: rss, between: rss, after: rss },
    unsaved: undefined,
  };
}
