/** One run as its worker has it in memory, and all that the worker writes of it: rows and events, in one transaction. */
import { StompError } from '../../errors.js';
import { loopTurn } from '../../loop-turn.js';
import type { Storage, Work } from '../../storage/storage.js';
import type { WallClock } from '../../storage/wall-clock.js';
import type { AuditHeads } from '../audit/run-audit.js';
import type { Message, ToolCall } from '../conversation.js';
import type { EventBodies, EventType, NewEvent } from '../events/event.js';
import type { TrackedFile } from '../refresh.js';
import { recordEvents } from '../store/events.js';
import { patiently } from '../store/patience.js';
import type { Outcome, Payload } from '../tools/run-tool.js';
import { runChangeWire } from '../wire.js';
import { type Effect, effectsOf, endEffect, insertEffect, type Restart, startEffect } from './effect-rows.js';
import { filesOf, updateFiles } from './file-rows.js';
import type { Run } from './run.js';
import {
  changeRun,
  findRun,
  type Hold,
  insertMessage,
  messagesOf,
  type RunChange,
  runNotFound,
} from './run-rows.js';

export interface RecordSystems {
  readonly storage: Storage;
  readonly clock: WallClock;
  /** Failures with no caller to reject. */
  onWarning(error: unknown): void;
}

const retryMs = 500;

/** Work that is done again for as long as the database is out of reach. @throws what the signal gives as its reason */
export function persist<T>(
  work: () => Promise<T>,
  signal: AbortSignal,
  { onWarning }: Pick<RecordSystems, 'onWarning'>,
): Promise<T> {
  const inTurn = async (): Promise<T> => {
    await loopTurn();
    return work();
  };
  return patiently(inTurn, { signal, retryMs, onWarning });
}

export class RunRecord {
  readonly hold: Hold;
  readonly #systems: RecordSystems;
  /** Ends the worker: nothing is tried again after it. */
  readonly #signal: AbortSignal;
  #run: Run;
  #messages: Message[];
  #files: readonly TrackedFile[];

  private constructor(systems: RecordSystems, hold: Hold, signal: AbortSignal, loaded: Loaded) {
    this.#systems = systems;
    this.hold = hold;
    this.#signal = signal;
    this.#run = loaded.run;
    this.#messages = loaded.messages;
    this.#files = loaded.files;
  }

  static async load(systems: RecordSystems, hold: Hold, signal: AbortSignal): Promise<RunRecord> {
    const read = () =>
      systems.storage.read(function* () {
        const run = yield* findRun(hold.runId);
        if (!run) throw runNotFound(hold.runId);
        return { run, messages: yield* messagesOf(run.id), files: yield* filesOf(run.id) };
      });
    const loaded = await persist(read, signal, systems);
    return new RunRecord(systems, hold, signal, loaded);
  }

  get run(): Run {
    return this.#run;
  }

  get messages(): readonly Message[] {
    return this.#messages;
  }

  /** Those that the model was given. */
  get files(): readonly TrackedFile[] {
    return this.#files;
  }

  /** @throws StompError LEASE_LOST */
  async change(change: RunChange, ...events: WorkerEvent[]): Promise<void> {
    const { hold } = this;
    const { storage } = this.#systems;
    this.#run = await this.#write(function* (now) {
      const run = yield* changeRun(hold, change, now);
      yield* recordEvents(storage, [
        ...events.map((event) => eventOf(run.id, event, now)),
        changedEvent(run, now),
      ]);
      return run;
    });
  }

  /** The conversation goes on. @throws StompError LEASE_LOST */
  async say(
    message: Message,
    change: RunChange,
    events: readonly WorkerEvent[],
    files = this.#files,
  ): Promise<void> {
    const { hold } = this;
    const { storage } = this.#systems;
    const n = this.#messages.length + 1;
    const before = this.#files;
    this.#run = await this.#write(function* (now) {
      // An attempt before may have been committed without anybody hearing of it.
      const known = yield* messagesOf(hold.runId, n);
      const run = yield* changeRun(hold, change, now);
      if (known.length > 0) return run;
      yield* insertMessage(hold.runId, n, message, now);
      yield* updateFiles(hold.runId, before, files);
      yield* recordEvents(storage, [
        ...events.map((event) => eventOf(run.id, event, now)),
        changedEvent(run, now),
      ]);
      return run;
    });
    this.#messages.push(message);
    this.#files = files;
  }

  effects(n: number): Promise<Effect[]> {
    const { hold } = this;
    return this.#write(() => effectsOf(hold.runId, n));
  }

  propose(effect: Effect): Promise<void> {
    return this.#write((now) => insertEffect(effect, now));
  }

  /**
   * What is done from here on is not undone.
   * @throws StompError LEASE_LOST when it was begun before, or somebody else works on the run
   */
  async start(
    effect: Effect,
    call: ToolCall,
    payload: Payload,
    { again, heads }: StartOptions,
  ): Promise<void> {
    const { hold } = this;
    const { storage } = this.#systems;
    const state = { ...this.#run.state, auditHeads: heads };
    const status = effect.tool === 'fetch_url' ? 'fetching' : 'running_tool';
    this.#run = await this.#write(function* (now) {
      if (!(yield* startEffect(effect, hold.epoch, payload, now, again))) {
        throw new StompError('LEASE_LOST', `The call ${call.id} has been begun by somebody else.`, {
          fields: { run: hold.runId, call: call.id },
        });
      }
      const run = yield* changeRun(hold, { status, state }, now);
      const body = { phase: 'start', call_id: call.id, tool: effect.tool, payload } as const;
      const event = eventOf(run.id, { type: 'tool_execution', body }, now);
      yield* recordEvents(storage, [event, changedEvent(run, now)]);
      return run;
    });
  }

  /** Also of a run that is over by now: what was done was done. */
  async end(effect: Effect, call: ToolCall, payload: Payload, outcome: Outcome, ms: number): Promise<void> {
    const { storage } = this.#systems;
    const body = {
      phase: 'end',
      call_id: call.id,
      tool: effect.tool,
      payload,
      ...outcome,
      ms: Math.round(ms),
    } as const;
    await this.#write(function* (now) {
      yield* endEffect(effect, outcome, now);
      yield* recordEvents(storage, [eventOf(effect.runId, { type: 'tool_execution', body }, now)]);
    });
  }

  #write<T>(work: (now: number) => Work<T>): Promise<T> {
    const { storage, clock } = this.#systems;
    const write = () =>
      storage.write(function* () {
        return yield* work(yield* clock.now());
      });
    return persist(write, this.#signal, this.#systems);
  }
}

export interface StartOptions {
  /** It was begun before, and may be begun again. */
  readonly again: Restart | undefined;
  /** Where the audit is. */
  readonly heads: AuditHeads;
}

interface Loaded {
  readonly run: Run;
  readonly messages: Message[];
  readonly files: readonly TrackedFile[];
}

/** What happens to the run, but for when. */
export type WorkerEvent<T extends EventType = EventType> = {
  readonly [K in T]: { readonly type: K; readonly body: EventBodies[K] };
}[T];

function eventOf(runId: string, event: WorkerEvent, at: number): NewEvent {
  return { ...event, run_id: runId, at };
}

export function changedEvent(run: Run, at: number): NewEvent {
  return { type: 'run_changed', run_id: run.id, at, body: { run: runChangeWire(run) } };
}
