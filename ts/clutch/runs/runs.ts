/**
 * All runs that this process works on. It takes over those that nobody works on any more, and holds the rows of its own
 * for as long as it lives.
 */
import { StompError, toStompError } from '../../errors.js';
import type { Audits } from '../audit/audits.js';
import { Bells } from '../bell.js';
import { track } from '../refresh.js';
import { recordEvents } from '../store/events.js';
import type { ToolScope } from '../tools/run-tool.js';
import { runWire } from '../wire.js';
import { insertFiles } from './file-rows.js';
import { type NewRun, pathRulesOf } from './new-run.js';
import { deadOwners, forgetOwner, newOwner } from './owners.js';
import { freshState, type Run } from './run.js';
import {
  AbortedAtGate,
  type ChildRequest,
  type Children,
  type RunContext,
  type RunSystems,
} from './run-context.js';
import { changedEvent, persist, RunRecord } from './run-record.js';
import {
  abortRow,
  dropHold,
  findRun,
  freeRunsOf,
  type Hold,
  insertMessage,
  insertRun,
  listRuns,
  openChildren,
  orphans,
  owners,
  type RunRowFilter,
  renewHold,
  runNotFound,
  takeRun,
} from './run-rows.js';
import { workOn } from './work.js';

export interface RunsOptions {
  readonly systems: Omit<RunSystems, 'children'>;
  readonly audits: Audits;
}

/** After so long without a sign of life a run is free for others. */
const holdMs = 15_000;
const renewMs = 5_000;
const lookMs = 2_000;
const deepest = 3;

interface Worker {
  readonly hold: Hold;
  /** Waiting ends; a tool at work goes on. */
  readonly stop: AbortController;
  /** Tools end as well. */
  readonly kill: AbortController;
  readonly done: Promise<void>;
}

export class Runs implements Children {
  readonly #systems: RunSystems;
  readonly #audits: Audits;
  readonly #owner = newOwner();
  readonly #workers = new Map<string, Worker>();
  readonly #taking = new Set<Promise<void>>();
  readonly #bells = new Bells();
  readonly #timers: NodeJS.Timeout[] = [];
  #forget: (() => void) | undefined;
  #closing = false;
  #closed = false;

  constructor({ systems, audits }: RunsOptions) {
    this.#systems = { ...systems, children: this };
    this.#audits = audits;
  }

  /** Takes over what others have left, now and from now on. */
  async open(): Promise<void> {
    this.#forget = this.#systems.bus.on('run_changed', ({ run_id }) => this.#bells.ring(run_id));
    await this.#systems.bus.started();
    await this.#freeDead();
    await this.#lookForOrphans();
    this.#repeat(lookMs, () => this.#lookForOrphans());
    this.#repeat(renewMs, () => this.#renewAll());
  }

  /** @throws StompError SHUTTING_DOWN, DB_BUSY */
  async start(made: NewRun): Promise<Run> {
    return this.#begin(made, {});
  }

  async find(id: string): Promise<Run | undefined> {
    return this.#systems.storage.read(() => findRun(id));
  }

  /** @throws StompError RUN_NOT_FOUND */
  async get(id: string): Promise<Run> {
    const run = await this.find(id);
    if (!run) throw runNotFound(id);
    return run;
  }

  list(filter: RunRowFilter): Promise<Run[]> {
    return this.#systems.storage.read(() => listRuns(filter));
  }

  async finish(child: ChildRequest, signal: AbortSignal): Promise<Run> {
    const known = await persist(() => this.find(child.id), signal, this.#systems);
    if (known && known.parentId !== child.parent.id) throw nameTaken(known);
    if (!known) await persist(() => this.#begin(childOf(child), child), signal, this.#systems);
    return this.ended(child.id, signal);
  }

  /** @throws StompError RUN_NOT_FOUND, SHUTTING_DOWN; what the signal gives as its reason */
  async ended(id: string, signal: AbortSignal): Promise<Run> {
    for (;;) {
      signal.throwIfAborted();
      if (this.#closed)
        throw new StompError('SHUTTING_DOWN', 'The clutch is closed; the run goes on when it is opened.');
      const wait = this.#bells.listen(id, signal);
      try {
        const run = await persist(() => this.find(id), signal, this.#systems);
        if (!run) throw runNotFound(id);
        if (run.endedAt !== undefined) return run;
        await wait.told;
      } finally {
        wait.end();
      }
    }
  }

  /** @throws StompError RUN_NOT_FOUND, RUN_ENDED, DB_BUSY */
  async abort(id: string, by: string): Promise<Run> {
    const { storage, clock } = this.#systems;
    const aborted = await storage.write(function* () {
      const now = yield* clock.now();
      const run = yield* abortRow(id, now);
      if (run) yield* recordEvents(storage, [changedEvent(run, now)]);
      return run ?? { missing: yield* findRun(id) };
    });
    if ('missing' in aborted) throw aborted.missing ? alreadyEnded(aborted.missing) : runNotFound(id);
    const reason = new StompError('CANCELLED', `The run was aborted by ${by}.`);
    const worker = this.#workers.get(id);
    worker?.stop.abort(reason);
    worker?.kill.abort(reason);
    await this.#abortWhatIsLeft(id, by);
    // Last: an audit that cannot be written keeps nothing from being ended.
    await this.#audits.use(aborted.sessionId, (audit) => {
      const { provider, model } = aborted.request;
      audit.comms({ direction: 'in', kind: 'abort', provider, model, payload: { run: id, by } });
    });
    return aborted;
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
    this.#forget?.();
    this.#closed = true;
    this.#bells.ringAll();
  }

  async #begin({ id, agentId, sessionId, request }: NewRun, child: Partial<ChildRequest>): Promise<Run> {
    // A child is written down all the same: whoever takes its parent over goes on with it.
    if (this.#closing && !child.parent)
      throw new StompError('SHUTTING_DOWN', 'The clutch is being closed. Start the run later.');
    const { storage, clock } = this.#systems;
    const { trackedFiles } = await pathRulesOf(request);
    const files = await track(trackedFiles);
    const { parent, ticketId } = child;
    const run = await storage.write(function* () {
      const now = yield* clock.now();
      const made: Run = {
        id,
        agentId,
        sessionId,
        parentId: parent?.id,
        trackId: ticketId === undefined ? parent?.trackId : parent?.id,
        ticketId: ticketId ?? parent?.ticketId,
        status: 'idle',
        request,
        state: freshState,
        error: undefined,
        createdAt: now,
        updatedAt: now,
        endedAt: undefined,
      };
      yield* insertRun(made);
      if (!request.tickets) yield* insertMessage(id, 1, { role: 'user', text: request.prompt }, now);
      yield* insertFiles(id, files);
      yield* recordEvents(storage, [
        { type: 'run_started', run_id: id, at: now, body: { run: runWire(made) } },
      ]);
      return made;
    });
    await this.#take(id);
    return run;
  }

  /** Of a run that is over: nobody needs what it has begun. */
  async #abortWhatIsLeft(id: string, by: string): Promise<void> {
    const { storage, gates } = this.#systems;
    await gates.abortRun(id, by);
    const children = await storage.read(() => openChildren(id));
    await Promise.all(children.map((child) => this.#abortChild(child, by)));
  }

  async #abortChild(id: string, by: string): Promise<void> {
    try {
      await this.abort(id, by);
    } catch (error) {
      // It came to its end meanwhile.
      if (!(error instanceof StompError) || error.code !== 'RUN_ENDED') throw error;
    }
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
    for (const id of ids) await this.#take(id);
  }

  async #take(id: string): Promise<void> {
    if (this.#closing || this.#workers.has(id)) return;
    const taking = this.#takeFree(id);
    this.#taking.add(taking);
    await taking.finally(() => this.#taking.delete(taking));
  }

  async #takeFree(id: string): Promise<void> {
    const { storage, clock } = this.#systems;
    const owner = this.#owner;
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
        await this.#abortChild(hold.runId, 'the end of the run that has begun it');
        return;
      }
      await this.#audits.use(record.run.sessionId, async (audit) =>
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
    const parent = await persist(() => this.find(parentId), signal, this.#systems);
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
      await this.#abortChild(hold.runId, error.gate.decidedBy ?? 'a person');
      return;
    }
    const run = await this.find(hold.runId);
    if (run?.endedAt !== undefined) {
      // A gate may have been opened, or a run begun, while it came to its end.
      await this.#abortWhatIsLeft(hold.runId, 'the end of the run');
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
    await this.#abortWhatIsLeft(hold.runId, 'the end of the run');
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

/** Where and for whom the tools of a run work. */
export async function scopeOf(run: Run, signal: AbortSignal): Promise<ToolScope> {
  return {
    runId: run.id,
    agentId: run.agentId,
    sessionId: run.sessionId,
    baseDir: run.request.baseDir,
    paths: await pathRulesOf(run.request),
    signal,
  };
}

/** It starts empty, but for what it is given here. @throws StompError INVALID_REQUEST */
function childOf({ id, parent, role, prompt, contextMd }: ChildRequest): NewRun {
  const { tickets: _tickets, firstTool: _first, ...inherited } = parent.request;
  const depth = (inherited.depth ?? 0) + 1;
  if (depth > deepest) {
    throw new StompError(
      'INVALID_REQUEST',
      `Runs begin further ones ${deepest} deep at most. Do it in this run.`,
    );
  }
  const request = { ...inherited, depth, role, prompt, stableMd: contextMd, fileItems: [], discText: '' };
  return { id, agentId: id, sessionId: parent.sessionId, request };
}

/** Names of tickets may hold full stops, so that one could come to the same as another. */
function nameTaken({ id }: Run): StompError {
  return new StompError(
    'INVALID_REQUEST',
    `The run ${id} was begun by another run. Give the ticket another id.`,
    {
      fields: { run: id },
    },
  );
}

function alreadyEnded({ id, status }: Run): StompError {
  return new StompError('RUN_ENDED', `The run ${id} is over already: ${status}.`, {
    fields: { run: id, status },
  });
}
