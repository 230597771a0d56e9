/** The clutch, put together: storage, audit, bus, state, providers, tools, gates, runs; and taken apart the other way. */
import { checkChoice, checkFields, checkInteger, checkText } from '../arguments.js';
import { openStorage } from '../storage/open.js';
import type { Storage } from '../storage/storage.js';
import { type WallClock, wallClock } from '../storage/wall-clock.js';
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
import { findRun, messagesOf, runNotFound } from './runs/run-rows.js';
import { Runs, scopeOf } from './runs/runs.js';
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
  const isOwn = typeof options.storage === 'string';
  const storage = typeof options.storage === 'string' ? await openStorage(options.storage) : options.storage;
  try {
    await storage.migrate(clutchMigrations);
    return await OpenedClutch.open(storage, isOwn, options);
  } catch (error) {
    if (isOwn) await storage.close();
    throw error;
  }
}

interface Parts {
  readonly storage: Storage;
  readonly isOwnStorage: boolean;
  readonly clock: WallClock;
  readonly audits: Audits;
  readonly bus: EventBus;
  readonly sampler: SystemSampler;
  readonly state: StateStore;
  readonly providers: Providers;
  readonly tools: Toolset;
  readonly gates: Gates;
  readonly runs: Runs;
  readonly defaults: RunDefaults;
  readonly graceMs: number;
}

class OpenedClutch implements Clutch {
  readonly #parts: Parts;
  #closed: Promise<void> | undefined;

  private constructor(parts: Parts) {
    this.#parts = parts;
  }

  static async open(storage: Storage, isOwnStorage: boolean, options: ClutchOptions): Promise<OpenedClutch> {
    const onWarning = options.onWarning ?? ((error: unknown) => process.emitWarning(String(error)));
    const graceMs = checkInteger('graceMs', options.graceMs, 5000, { min: 0, max: 3_600_000 });
    const clock = wallClock(storage, options.now);
    const audits = new Audits({
      folder: checkText('auditFolder', options.auditFolder, '', 4096),
      secrets: knownSecrets(options, process.env),
    });
    const providers = new Providers(options.providers ?? {}, { models: options.models, onWarning });
    const bus = new EventBus({ storage, clock, onWarning });
    // Runs need the tools, one of which begins runs.
    let runs: Runs | undefined;
    const opened = (): Runs => {
      if (!runs) throw new TypeError('Nothing runs yet.');
      return runs;
    };
    const spawn = (request: SpawnRequest, scope: ToolScope) => spawned(opened(), request, scope);
    const tools = await Toolset.open({ ...options, more: [spawnTool(spawn)] });
    const defaults = defaultsOf(options, providers, tools);
    const gates = new Gates({
      storage,
      clock,
      onWarning,
      revise: async (gate, edits) =>
        revise(gate, edits, tools, await scopeOf(await opened().get(gate.runId), never)),
    });
    const provider = (name: string) => providers.get(name);
    const systems = { storage, clock, gates, bus, tools, provider, onWarning };
    runs = new Runs({ systems, audits });
    const sampler = new SystemSampler({ depth: () => bus.depth, onWarning });
    const state = new StateStore({ storage, bus, sampler, onWarning });
    await state.start();
    const parts = {
      storage,
      isOwnStorage,
      clock,
      audits,
      bus,
      sampler,
      state,
      providers,
      tools,
      gates,
      runs,
      defaults,
      graceMs,
    };
    await runs.open();
    return new OpenedClutch(parts);
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

  async runs({ status, parentId, limit }: RunFilter = {}): Promise<Run[]> {
    return this.#parts.runs.list({
      status: status === undefined ? undefined : checkChoice('status', status, 'idle', runStatuses),
      parentId,
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
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    const { storage, isOwnStorage, bus, sampler, state, providers, tools, gates, runs, graceMs } =
      this.#parts;
    await runs.close(graceMs);
    await providers.close();
    await tools.close();
    await gates.close();
    sampler.close();
    await state.close();
    await bus.close();
    if (isOwnStorage) await storage.close();
  }
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
