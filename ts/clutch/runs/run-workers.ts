/**
 * Those who work on runs in this process. They take over what nobody works on any more, and hold the rows of theirs for as
 * long as the process lives.
 */
import { StompError, toStompError } from '../../errors.js';
import { loopTurn } from '../../loop-turn.js';
import type { Audits } from '../audit/audits.js';
import { deadOwners, forgetOwner, newOwner } from './owners.js';
import type { Run } from './run.js';
import { AbortedAtGate, type RunContext, type RunSystems, scopeOf } from './run-context.js';
import { persist, RunRecord } from './run-record.js';
import { dropHold, freeRunsOf, type Hold, orphans, owners, renewHold, takeRun } from './run-rows.js';
import { workOn } from './work.js';

export interface RunWorkersOptions {
  readonly systems: RunSystems;
  readonly audits: Audits;
  /** Ends a run and all that it has begun; one that is over stays as it is. */
  abort(runId: string, by: string): Promise<void>;
  /** Ends all that a run which is over has begun. */
  abortWhatIsLeft(runId: string, by: string): Promise<void>;
}

/** After so long without a sign of life a run is free for others. */
const holdMs = 15_000;
const renewMs = 5_000;
const lookMs = 2_000;

interface Worker {
  readonly hold: Hold;
  /** Waiting ends; a tool at work goes on. */
  readonly stop: AbortController;
  /** Tools end as well. */
  readonly kill: AbortController;
  readonly done: Promise<void>;
}

export class RunWorkers {
  readonly #options: RunWorkersOptions;
  readonly #systems: RunSystems;
  readonly #owner = newOwner();
  readonly #workers = new Map<string, Worker>();
  readonly #taking = new Set<Promise<void>>();
  readonly #timers: NodeJS.Timeout[] = [];
  #closing = false;

  constructor(options: RunWorkersOptions) {
    this.#options = options;
    this.#systems = options.systems;
  }

  get closing(): boolean {
    return this.#closing;
  }

  /** Takes over what others have left, now and from now on. */
  async open(): Promise<void> {
    await this.#freeDead();
    await this.#lookForOrphans();
    this.#repeat(lookMs, () => this.#lookForOrphans());
    this.#repeat(renewMs, () => this.#renewAll());
  }

  /** Works on a run from now on, unless somebody does. */
  async take(id: string): Promise<void> {
    if (this.#closing || this.#workers.has(id)) return;
    const taking = this.#takeFree(id);
    this.#taking.add(taking);
    await taking.finally(() => this.#taking.delete(taking));
  }

  /** Whoever works on the run stops at once, and the tools of it. */
  end(id: string, reason: StompError): void {
    const worker = this.#workers.get(id);
    worker?.stop.abort(reason);
    worker?.kill.abort(reason);
  }

  /** @param graceMs how long tools at work may take to come to an end */
  async close(graceMs: number): Promise<void> {
    this.#closing = true;
    for (const timer of this.#timers) clearInterval(timer);
    await Promise.allSettled(this.#taking);
    const reason = new StompError(
      'SHUTTING_DOWN',
      'The clutch is being closed; the run goes on when it is opened.',
    );
    const workers = [...this.#workers.values()];
    for (const { stop } of workers) stop.abort(reason);
    const late = setTimeout(() => {
      for (const { kill } of workers) kill.abort(reason);
    }, graceMs);
    await Promise.all(workers.map(({ done }) => done));
    clearTimeout(late);
    forgetOwner(this.#owner);
  }

  /** Runs that a process of this machine held that is no more: nobody needs to wait until they are free. */
  async #freeDead(): Promise<void> {
    const { storage } = this.#systems;
    if (storage.dialect !== 'sqlite') return;
    const dead = deadOwners(await storage.read(() => owners()));
    for (const owner of dead) await storage.write(() => freeRunsOf(owner));
  }

  async #lookForOrphans(): Promise<void> {
    const { storage, clock } = this.#systems;
    const ids = await storage.read(function* () {
      return yield* orphans(yield* clock.now());
    });
    for (const id of ids) await this.take(id);
  }

  async #takeFree(id: string): Promise<void> {
    const { storage, clock } = this.#systems;
    const owner = this.#owner;
    await loopTurn();
    const hold = await storage.write(function* () {
      return yield* takeRun(id, owner, yield* clock.now(), holdMs);
    });
    if (!hold || this.#workers.has(id)) return;
    if (this.#closing) {
      await storage.write(() => dropHold(hold));
      return;
    }
    const stop = new AbortController();
    const kill = new AbortController();
    const done = this.#work(hold, stop, kill).finally(() => this.#workers.delete(id));
    this.#workers.set(id, { hold, stop, kill, done });
  }

  /** Never rejects. */
  async #work(hold: Hold, stop: AbortController, kill: AbortController): Promise<void> {
    let record: RunRecord | undefined;
    try {
      record = await RunRecord.load(this.#systems, hold, kill.signal);
      const loaded = record;
      if (await this.#isLeftBehind(record.run, kill.signal)) {
        await this.#options.abort(hold.runId, 'the end of the run that has begun it');
        return;
      }
      await loopTurn();
      await this.#options.audits.use(record.run.sessionId, async (audit) =>
        workOn(await this.#contextOf(loaded, audit, stop, kill)),
      );
    } catch (error) {
      await this.#failed(error, hold, record, stop.signal).catch(this.#systems.onWarning);
    } finally {
      // What still works for it, such as the tickets of a track, ends.
      stop.abort(new StompError('CANCELLED', 'The run is over.'));
    }
  }

  /** Whether the run that has begun it was over before it could know of this one, or end it. */
  async #isLeftBehind({ parentId }: Run, signal: AbortSignal): Promise<boolean> {
    if (parentId === undefined) return false;
    const parent = await persist(() => this.#systems.children.find(parentId), signal, this.#systems);
    return parent?.endedAt !== undefined;
  }

  async #contextOf(
    record: RunRecord,
    audit: RunContext['audit'],
    stop: AbortController,
    kill: AbortController,
  ): Promise<RunContext> {
    return {
      systems: this.#systems,
      record,
      audit,
      stop: stop.signal,
      scope: await scopeOf(record.run, kill.signal),
    };
  }

  async #failed(error: unknown, hold: Hold, record: RunRecord | undefined, stop: AbortSignal): Promise<void> {
    const { storage } = this.#systems;
    if (error instanceof AbortedAtGate) {
      await this.#options.abort(hold.runId, error.gate.decidedBy ?? 'a person');
      return;
    }
    const run = await this.#systems.children.find(hold.runId);
    if (run?.endedAt !== undefined) {
      // A gate may have been opened, or a run begun, while it came to its end.
      await this.#options.abortWhatIsLeft(hold.runId, 'the end of the run');
      return;
    }
    if (this.#closing || (error instanceof StompError && error.code === 'LEASE_LOST')) {
      await storage.write(() => dropHold(hold));
      return;
    }
    const { code, message } = toStompError(error);
    if (code === 'INTERNAL_ERROR') this.#systems.onWarning(error);
    if (stop.aborted || !record) {
      await storage.write(() => dropHold(hold));
      return;
    }
    await record.change({ status: 'error', error: { code, message }, ended: true });
    await this.#options.abortWhatIsLeft(hold.runId, 'the end of the run');
  }

  async #renewAll(): Promise<void> {
    const { storage, clock } = this.#systems;
    const workers = [...this.#workers.values()];
    if (workers.length === 0) return;
    const lost = await storage.write(function* () {
      const now = yield* clock.now();
      const gone: Worker[] = [];
      for (const worker of workers) if (!(yield* renewHold(worker.hold, now, holdMs))) gone.push(worker);
      return gone;
    });
    const reason = new StompError('LEASE_LOST', 'Another process works on the run by now, or it is over.');
    for (const { stop, kill } of lost) {
      stop.abort(reason);
      kill.abort(reason);
    }
  }

  /** A database that is away is asked again the next time. */
  #repeat(everyMs: number, work: () => Promise<void>): void {
    let running = false;
    const once = async (): Promise<void> => {
      if (running) return;
      running = true;
      try {
        await work();
      } catch (error) {
        if (!(error instanceof StompError) || error.code !== 'DB_BUSY') this.#systems.onWarning(error);
      } finally {
        running = false;
      }
    };
    this.#timers.push(setInterval(() => void once(), everyMs).unref());
  }
}
