/** The clutch, put together: storage, audit, bus, state, providers, tools, gates, runs; and taken apart the other way. */
import { checkChoice, checkFields, checkInteger, checkText, refuse } from '../arguments.js';
import { openStorage } from '../storage/open.js';
import type { Storage } from '../storage/storage.js';
import { wallClock } from '../storage/wall-clock.js';
import { Audits } from './audit/audits.js';
import { knownSecrets } from './audit/known-secrets.js';
import type { Clutch, ClutchOptions, RunFilter, RunInput } from './clutch.js';
import { EventBus } from './events/event-bus.js';
import { StateStore } from './events/state-store.js';
import { SystemSampler } from './events/system-sampler.js';
import { Gates } from './gates/gates.js';
import { revise } from './gates/revise.js';
import { Providers } from './providers/providers.js';
import { effectsOfRun } from './runs/effect-rows.js';
import { gateTimeoutRule, newRun, type RunDefaults } from './runs/new-run.js';
import { gatePolicies, type Run, runStatuses } from './runs/run.js';
import { scopeOf } from './runs/run-context.js';
import { findRun, messagesOf, runNotFound } from './runs/run-rows.js';
import { Runs } from './runs/runs.js';
import { clutchMigrations } from './store/schema.js';
import type { Outcome, ToolScope } from './tools/run-tool.js';
import { type SpawnRequest, spawnTool } from './tools/spawn.js';
import { Toolset } from './tools/toolset.js';
import { type RunDetailWire, runDetailWire } from './wire.js';

const optionNames = [
  'storage',
  'auditFolder',
  'files',
  'models',
  'providers',
  'defaultProvider',
  'gate',
  'gateTimeoutMs',
  'shell',
  'fetch',
  'mcpServers',
  'secrets',
  'now',
  'graceMs',
  'onWarning',
] as const satisfies readonly (keyof ClutchOptions)[];

const dayMs = 86_400_000;
const never = new AbortController().signal;

/**
 * Opens it, and goes on with the runs that were left.
 * @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD, DB_BUSY, PROVIDER_FAILED when an MCP server cannot be reached
 */
export async function openClutch(options: ClutchOptions): Promise<Clutch> {
  checkFields('options', options, optionNames);
  const opened = new Opened();
  try {
    return await OpenedClutch.open(options, opened);
  } catch (error) {
    await opened.close();
    throw error;
  }
}

/** What is closed in the end, or when something else cannot be opened: the last first. */
class Opened {
  readonly #closers: (() => Promise<void> | void)[] = [];

  add(close: () => Promise<void> | void): void {
    this.#closers.unshift(close);
  }

  async close(): Promise<void> {
    for (const close of this.#closers.splice(0)) await close();
  }
}

interface Parts {
  readonly storage: Storage;
  readonly audits: Audits;
  readonly bus: EventBus;
  readonly state: StateStore;
  readonly providers: Providers;
  readonly gates: Gates;
  readonly runs: Runs;
  readonly defaults: RunDefaults;
}

class OpenedClutch implements Clutch {
  readonly #parts: Parts;
  readonly #opened: Opened;
  #closed: Promise<void> | undefined;

  private constructor(parts: Parts, opened: Opened) {
    this.#parts = parts;
    this.#opened = opened;
  }

  static async open(options: ClutchOptions, opened: Opened): Promise<OpenedClutch> {
    const onWarning = options.onWarning ?? ((error: unknown) => process.emitWarning(String(error)));
    const graceMs = checkInteger('graceMs', options.graceMs, 5000, { min: 0, max: 3_600_000 });
    const audits = new Audits({
      folder: checkText('auditFolder', options.auditFolder, '', 4096) || refuseFolder(options.auditFolder),
      secrets: knownSecrets(options, process.env),
    });
    const storage = await storageOf(options, opened);
    const clock = wallClock(storage, options.now);
    const bus = new EventBus({ storage, clock, onWarning });
    opened.add(() => bus.close());
    const sampler = new SystemSampler({ depth: () => bus.depth, onWarning });
    const state = new StateStore({ storage, bus, sampler, onWarning });
    opened.add(() => state.close());
    opened.add(() => sampler.close());
    // Runs need the tools, one of which begins runs.
    let runs: Runs | undefined;
    const begun = (): Runs => {
      if (!runs) throw new TypeError('Nothing runs yet.');
      return runs;
    };
    const gates = new Gates({
      storage,
      clock,
      onWarning,
      revise: async (gate, edits) =>
        revise(gate, edits, tools, await scopeOf(await begun().get(gate.runId), never)),
    });
    opened.add(() => gates.close());
    const spawn = (request: SpawnRequest, scope: ToolScope) => spawned(begun(), request, scope);
    const tools = await Toolset.open({ ...options, more: [spawnTool(spawn)] });
    opened.add(() => tools.close());
    const providers = new Providers(options.providers ?? {}, { models: options.models, onWarning });
    opened.add(() => providers.close());
    const defaults = defaultsOf(options, providers, tools);
    const provider = (name: string) => providers.get(name);
    const systems = { storage, clock, gates, bus, tools, provider, onWarning };
    const all = new Runs({ systems, audits });
    runs = all;
    opened.add(() => all.close(graceMs));
    await state.start();
    await all.open();
    return new OpenedClutch({ storage, audits, bus, state, providers, gates, runs, defaults }, opened);
  }

  get gates(): Gates {
    return this.#parts.gates;
  }

  get bus(): EventBus {
    return this.#parts.bus;
  }

  get state(): StateStore {
    return this.#parts.state;
  }

  get providerNames(): readonly string[] {
    return this.#parts.providers.names;
  }

  get defaults(): RunDefaults {
    return this.#parts.defaults;
  }

  async start(input: RunInput): Promise<Run> {
    return this.#parts.runs.start(await newRun(input, this.#parts.defaults));
  }

  run(id: string): Promise<Run> {
    return this.#parts.runs.get(id);
  }

  async detail(id: string): Promise<RunDetailWire> {
    const detail = await this.#parts.storage.read(function* () {
      const run = yield* findRun(id);
      return run && runDetailWire(run, yield* messagesOf(id), yield* effectsOfRun(id));
    });
    if (!detail) throw runNotFound(id);
    return detail;
  }

  async runs({ status, parentId, sessionId, limit }: RunFilter = {}): Promise<Run[]> {
    return this.#parts.runs.list({
      status: status === undefined ? undefined : checkChoice('status', status, 'idle', runStatuses),
      parentId,
      sessionId,
      limit: checkInteger('limit', limit, 100, { min: 1, max: 1000 }),
    });
  }

  abort(id: string, by: string): Promise<Run> {
    return this.#parts.runs.abort(id, by);
  }

  ended(id: string, signal: AbortSignal = never): Promise<Run> {
    return this.#parts.runs.ended(id, signal);
  }

  async auditHttp(runId: string, record: Readonly<Record<string, unknown>>): Promise<void> {
    const { sessionId } = await this.run(runId);
    await this.#parts.audits.use(sessionId, (audit) => audit.http({ run: runId, ...record }));
  }

  close(): Promise<void> {
    this.#closed ??= this.#opened.close();
    return this.#closed;
  }
}

/** The one that is given, or one of its own. */
async function storageOf({ storage }: ClutchOptions, opened: Opened): Promise<Storage> {
  const open = typeof storage === 'string' ? await openStorage(storage) : storage;
  if (open !== storage) opened.add(() => open.close());
  await open.migrate(clutchMigrations);
  return open;
}

function refuseFolder(value: unknown): never {
  return refuse('auditFolder', value, 'a folder');
}

function defaultsOf(options: ClutchOptions, providers: Providers, tools: Toolset): RunDefaults {
  const fallback = options.models ? 'engine' : 'openai';
  const provider = checkText('defaultProvider', options.defaultProvider, fallback, 64);
  providers.get(provider);
  return {
    files: options.files,
    gate: checkChoice('gate', options.gate, 'all', gatePolicies),
    gateTimeoutMs: checkInteger('gateTimeoutMs', options.gateTimeoutMs, dayMs, gateTimeoutRule),
    provider,
    toolNames: tools.specs.map(({ name }) => name),
    defaultModel: (name) => providers.get(name).defaultModel,
  };
}

/** The worker's last words, for the run that has asked for it. */
async function spawned(
  runs: Runs,
  request: SpawnRequest,
  { runId, callKey, signal }: ToolScope,
): Promise<Outcome> {
  const parent = await runs.get(runId);
  const { id, status, state, error } = await runs.finish(
    { id: `${callKey}.spawned`, parent, ...request },
    signal,
  );
  const output = state.output ?? error?.message ?? '';
  return { output: `[${id}: ${status}]\n${output}`, failed: status !== 'done' };
}
