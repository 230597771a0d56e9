/** A clutch for tests of its faces: real rows, gates and events on SQLite, and runs that wait for what a test does. */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach } from 'vitest';
import type { Clutch, RunFilter, RunInput } from '../../../ts/clutch/clutch.js';
import type { ClutchEvent, NewEvent } from '../../../ts/clutch/events/event.js';
import type { Gate } from '../../../ts/clutch/gates/gate.js';
import { type GateRequest, Gates } from '../../../ts/clutch/gates/gates.js';
import { freshState, type GatePolicy, type Run } from '../../../ts/clutch/runs/run.js';
import {
  abortRow,
  changeRun,
  findRun,
  insertRun,
  listRuns,
  takeRun,
} from '../../../ts/clutch/runs/run-rows.js';
import { eventsAfter, lastEvent, recordEvents } from '../../../ts/clutch/store/events.js';
import { clutchMigrations } from '../../../ts/clutch/store/schema.js';
import { runChangeWire, runDetailWire, runWire } from '../../../ts/clutch/wire.js';
import { StompError } from '../../../ts/errors.js';
import { SqliteStorage } from '../../../ts/storage/sqlite.js';
import { wallClock } from '../../../ts/storage/wall-clock.js';
import { given } from '../../../ts/tools/parameters.js';

const opened: TestClutch[] = [];
afterEach(async () => {
  for (const clutch of opened.splice(0)) await clutch.close();
});

export const hour = 3_600_000;

export class TestClutch implements Clutch {
  readonly folder = mkdtempSync(join(tmpdir(), 'stomp-clutch-'));
  readonly storage = new SqliteStorage({ path: join(this.folder, 'stomp.db') });
  readonly gates: Gates;
  readonly bus = this.#bus() as Clutch['bus'];
  readonly state = this.#state() as unknown as Clutch['state'];
  /** What went into `http.jsonl`, by run. */
  readonly audited: { readonly run: string; readonly record: Readonly<Record<string, unknown>> }[] = [];
  readonly providerNames = ['test', 'other'];
  defaults = {
    files: { roots: [this.folder] } as never,
    gate: 'all' as GatePolicy,
    gateTimeoutMs: hour,
    toolNames: ['run_script'],
    provider: 'test',
    defaultModel: (provider: string) => `${provider}-1`,
  };
  now = 1_800_000_000_000;
  /** Events up to here are deleted. */
  gone = 0;
  #last = 0;

  constructor() {
    this.gates = new Gates({
      storage: this.storage,
      clock: wallClock(this.storage, () => this.now),
      revise: async (_, payload) => {
        if (payload['script'] === 'rm -rf /') throw new StompError('PATH_DENIED', 'Not that.');
        return { payload, preview: { title: `Run ${String(payload['script'])}` } };
      },
      onWarning: (error) => {
        throw error;
      },
    });
  }

  static async open(): Promise<TestClutch> {
    const clutch = new TestClutch();
    await clutch.storage.migrate(clutchMigrations);
    opened.push(clutch);
    return clutch;
  }

  async start(input: RunInput): Promise<Run> {
    const id = randomUUID();
    const run: Run = {
      id,
      agentId: input.agentId ?? `agent-${id}`,
      sessionId: input.sessionId ?? `session-${id}`,
      parentId: undefined,
      trackId: undefined,
      ticketId: undefined,
      status: 'idle',
      request: requestOf(input, this.folder),
      state: freshState,
      error: undefined,
      createdAt: this.now++,
      updatedAt: this.now,
      endedAt: undefined,
    };
    const { storage, now: at } = this;
    await storage.write(function* () {
      yield* insertRun(run);
      yield* recordEvents(storage, [{ type: 'run_started', run_id: id, at, body: { run: runWire(run) } }]);
    });
    return run;
  }

  /** As the loop would. */
  async open(run: Run, more: Partial<GateRequest> = {}): Promise<Gate> {
    return this.gates.open({
      id: `${run.id}-1-0`,
      runId: run.id,
      kind: 'confirm',
      tool: 'run_script',
      payload: { script: 'make', base_dir: run.request.baseDir },
      preview: { title: 'Run make' },
      requester: run.agentId,
      timeoutMs: hour,
      ...more,
    });
  }

  async say(run: Run, text: string): Promise<void> {
    await this.record([{ type: 'text', run_id: run.id, at: this.now, body: { text, reasoning: '' } }]);
  }

  async record(events: readonly NewEvent[]): Promise<void> {
    const { storage } = this;
    await storage.write(() => recordEvents(storage, events));
  }

  /** It is done. */
  async end(run: Run, output: string): Promise<void> {
    const { storage, now } = this;
    await storage.write(function* () {
      const hold = yield* takeRun(run.id, 'test', now, 1000);
      if (!hold) throw new Error('It is over already.');
      const ended = yield* changeRun(
        hold,
        { status: 'done', state: { ...run.state, output }, ended: true },
        now,
      );
      yield* recordEvents(storage, [changed(ended, now)]);
    });
  }

  async run(id: string): Promise<Run> {
    const found = await this.storage.read(() => findRun(id));
    if (found) return found;
    throw new StompError('RUN_NOT_FOUND', `There is no run ${id}.`, { fields: { run: id } });
  }

  async detail(id: string) {
    return runDetailWire(await this.run(id), [], []);
  }

  async runs({ status, parentId, sessionId, limit = 100 }: RunFilter = {}): Promise<Run[]> {
    const found = await this.storage.read(() => listRuns({ limit, parentId, sessionId, status }));
    return found.filter((run) => status === undefined || run.status === status);
  }

  async abort(id: string, by: string): Promise<Run> {
    await this.run(id);
    const { storage, now } = this;
    const run = await storage.write(function* () {
      const over = yield* abortRow(id, now);
      if (over) yield* recordEvents(storage, [changed(over, now)]);
      return over;
    });
    if (!run) throw new StompError('RUN_ENDED', `The run ${id} is over already.`, { fields: { run: id } });
    await this.gates.abortRun(id, by);
    return run;
  }

  async ended(id: string, signal?: AbortSignal): Promise<Run> {
    for (;;) {
      signal?.throwIfAborted();
      const run = await this.run(id);
      if (run.endedAt !== undefined) return run;
      await delay(5);
    }
  }

  async auditHttp(run: string, record: Readonly<Record<string, unknown>>): Promise<void> {
    await this.run(run);
    this.audited.push({ run, record });
  }

  async close(): Promise<void> {
    await this.gates.close();
    await this.storage.close();
    rmSync(this.folder, { recursive: true });
  }

  #state() {
    return {
      snapshot: () => {
        this.#last = this.#seq();
        return {
          seq: this.#last,
          runs: {},
          approvals: {},
          rules: {},
          system: { cpu_percent: 1, at: this.now },
        };
      },
    };
  }

  /** SQLite answers at once. */
  #seq(): number {
    let seq = 0;
    void this.storage.read(function* () {
      seq = yield* lastEvent();
    });
    return seq;
  }

  #bus() {
    const seq = () => this.#seq();
    return {
      follow: (after: number, signal: AbortSignal) => this.#follow(after, signal),
      get last() {
        return seq();
      },
    } as unknown;
  }

  async *#follow(after: number, signal: AbortSignal): AsyncGenerator<ClutchEvent, void> {
    if (after < this.gone || after > this.#seq())
      throw new StompError('EVENTS_GONE' as never, `Events after ${after} are gone.`);
    let seq = after;
    while (!signal.aborted) {
      for (const event of await this.storage.read(() => eventsAfter(seq, 50))) {
        yield event;
        ({ seq } = event);
      }
      await delay(2, undefined, { signal }).catch(() => undefined);
    }
  }
}

function requestOf({ agentId: _, sessionId: __, ...input }: RunInput, baseDir: string): Run['request'] {
  return {
    prompt: '',
    stableMd: '',
    fileItems: [],
    discText: '',
    baseDir,
    provider: 'test',
    model: 'test-1',
    temperature: 0,
    maxTokens: 8192,
    gate: 'all',
    gateTimeoutMs: hour,
    ...given(input),
  };
}

function changed(run: Run, at: number): NewEvent {
  return { type: 'run_changed', run_id: run.id, at, body: { run: runChangeWire(run) } };
}
