/** The state of the clutch: read once from rows, then kept by one reducer that follows what happens. */
import { StompError } from '../../errors.js';
import type { Storage, Work } from '../../storage/storage.js';
import { decidedGates, pendingGates } from '../gates/gate-rows.js';
import { listRules } from '../gates/rules.js';
import { listRuns, openRuns } from '../runs/run-rows.js';
import { lastEvent } from '../store/events.js';
import { patiently, pause } from '../store/patience.js';
import { approvalWire, ruleWire, runWire } from '../wire.js';
import type { EventBus } from './event-bus.js';
import {
  type ClutchState,
  emptyState,
  mostDecidedApprovals,
  mostEndedRuns,
  reduce,
  type SystemSample,
  stateOf,
} from './state.js';
import type { SystemSampler } from './system-sampler.js';

export interface StateStoreOptions {
  readonly storage: Storage;
  readonly bus: Pick<EventBus, 'follow'>;
  readonly sampler: Pick<SystemSampler, 'last' | 'on'>;
  /** Between two tries while the storage is away. @default 1000 */
  readonly retryMs?: number | undefined;
  /** Failures with no caller to reject, and what listeners throw. */
  readonly onWarning: (error: unknown) => void;
}

export class StateStore {
  readonly #options: StateStoreOptions;
  readonly #over = new AbortController();
  readonly #listeners = new Set<(state: ClutchState) => void>();
  #state: ClutchState = emptyState();
  #started: Promise<void> | undefined;
  #running: Promise<void> | undefined;
  #unsample: (() => void) | undefined;

  constructor(options: StateStoreOptions) {
    this.#options = options;
  }

  /**
   * Resolves when the state is that of the storage. While that is away, it waits.
   * @throws StompError SHUTTING_DOWN; what is wrong with the rows
   */
  start(): Promise<void> {
    this.#started ??= this.#start();
    return this.#started;
  }

  /** As it is now: plain JSON, which never changes. */
  snapshot(): ClutchState {
    return this.#state;
  }

  /** Calls with each new state. What is thrown goes to `onWarning`. @returns what ends it */
  subscribe(listener: (state: ClutchState) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The state stays as it is. May be called again. */
  async close(): Promise<void> {
    this.#over.abort(new StompError('SHUTTING_DOWN', 'The state is closed.'));
    this.#unsample?.();
    await this.#started?.catch(() => undefined);
    await this.#running;
    this.#listeners.clear();
  }

  async #start(): Promise<void> {
    await this.#read();
    const { sampler } = this.#options;
    this.#sampled(sampler.last);
    this.#unsample = sampler.on((sample) => this.#sampled(sample));
    this.#running = this.#run();
  }

  async #read(): Promise<void> {
    const { storage, retryMs = 1000, onWarning } = this.#options;
    const patience = { signal: this.#over.signal, retryMs, onWarning };
    const state = await patiently(() => storage.read(storedState), patience);
    const { system } = this.#state;
    this.#set(system ? { ...state, system } : state);
  }

  async #run(): Promise<void> {
    const { retryMs = 1000, onWarning } = this.#options;
    const { signal } = this.#over;
    while (!signal.aborted) {
      try {
        await this.#follow();
        return;
      } catch (error) {
        if (signal.aborted) return;
        onWarning(error);
        if (error instanceof StompError && error.code === 'SHUTTING_DOWN') return;
        await pause(retryMs, signal);
      }
    }
  }

  /** Until the bus ends. Where it was left behind too far, it begins anew with the rows. */
  async #follow(): Promise<void> {
    for (;;) {
      try {
        for await (const event of this.#options.bus.follow(this.#state.seq, this.#over.signal))
          this.#set(reduce(this.#state, event));
        return;
      } catch (error) {
        if (!(error instanceof StompError) || error.code !== 'EVENTS_GONE') throw error;
      }
      await this.#read();
    }
  }

  #sampled(system: SystemSample): void {
    this.#set({ ...this.#state, system });
  }

  #set(state: ClutchState): void {
    this.#state = state;
    for (const listener of [...this.#listeners]) {
      try {
        listener(state);
      } catch (error) {
        this.#options.onWarning(error);
      }
    }
  }
}

/** All at one moment. */
function* storedState(): Work<ClutchState> {
  const newest = yield* listRuns({ status: undefined, parentId: undefined, limit: mostEndedRuns });
  const open = yield* openRuns();
  const pending = yield* pendingGates();
  const decided = yield* decidedGates(mostDecidedApprovals);
  const rules = yield* listRules(undefined);
  return stateOf({
    seq: yield* lastEvent(),
    runs: [...newest, ...open].map(runWire),
    approvals: [...pending, ...decided].map(approvalWire),
    rules: rules.map(ruleWire),
  });
}
