/** All runs of a storage: begun, found, waited for and ended here; others work on them. */
import { StompError } from '../../errors.js';
import { loopTurn } from '../../loop-turn.js';
import type { Audits } from '../audit/audits.js';
import { Bells } from '../bell.js';
import { track } from '../refresh.js';
import { recordEvents } from '../store/events.js';
import { runWire } from '../wire.js';
import { insertFiles } from './file-rows.js';
import { type NewRun, pathRulesOf } from './new-run.js';
import { freshState, type Run } from './run.js';
import type { ChildRequest, Children, RunSystems } from './run-context.js';
import { changedEvent, persist } from './run-record.js';
import {
  abortRow,
  findRun,
  insertMessage,
  insertRun,
  listRuns,
  openChildren,
  type RunRowFilter,
  runNotFound,
} from './run-rows.js';
import { RunWorkers } from './run-workers.js';

export interface RunsOptions {
  readonly systems: Omit<RunSystems, 'children'>;
  readonly audits: Audits;
}

const deepest = 3;

export class Runs implements Children {
  readonly #systems: RunSystems;
  readonly #audits: Audits;
  readonly #workers: RunWorkers;
  readonly #bells = new Bells();
  #forget: (() => void) | undefined;
  #closed = false;

  constructor({ systems, audits }: RunsOptions) {
    this.#systems = { ...systems, children: this };
    this.#audits = audits;
    this.#workers = new RunWorkers({
      systems: this.#systems,
      audits,
      abort: (id, by) => this.#abortChild(id, by),
      abortWhatIsLeft: (id, by) => this.#abortWhatIsLeft(id, by),
    });
  }

  /** Takes over what others have left, now and from now on. */
  async open(): Promise<void> {
    this.#forget = this.#systems.bus.on('run_changed', ({ run_id }) => this.#bells.ring(run_id));
    await this.#systems.bus.started();
    await this.#workers.open();
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
    this.#workers.end(id, reason);
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
    await this.#workers.close(graceMs);
    this.#forget?.();
    this.#closed = true;
    this.#bells.ringAll();
  }

  async #begin({ id, agentId, sessionId, request }: NewRun, child: Partial<ChildRequest>): Promise<Run> {
    // A child is written down all the same: whoever takes its parent over goes on with it.
    if (this.#workers.closing && !child.parent)
      throw new StompError('SHUTTING_DOWN', 'The clutch is being closed. Start the run later.');
    const { storage, clock } = this.#systems;
    // Many that begin at once would hold up all others.
    await loopTurn();
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
    await this.#workers.take(id);
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
