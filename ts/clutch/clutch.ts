/** What the clutch offers: runs whose effects wait at gates, the gates, and what happens, as it happens. */
import type { FileGuard } from '../guard/files.js';
import type { Storage } from '../storage/storage.js';
import type { EventBus } from './events/event-bus.js';
import type { StateStore } from './events/state-store.js';
import type { Gates } from './gates/gates.js';
import type { EngineModels } from './providers/engine.js';
import type { ProviderOptions } from './providers/open-provider.js';
import type { RunDefaults } from './runs/new-run.js';
import type { GatePolicy, Run, Ticket } from './runs/run.js';
import type { FetchOptions } from './tools/fetch.js';
import type { McpServer } from './tools/mcp.js';
import type { ShellOptions } from './tools/shell.js';
import type { RunDetailWire } from './wire.js';

/** What a clutch rests on, and what its runs have that say nothing. */
export interface ClutchOptions {
  /** Where runs, gates and events are kept: an address, or a storage that whoever opened it closes. */
  readonly storage: string | Storage;
  /** A folder for each session lies in it, with what was said and done. */
  readonly auditFolder: string;
  /** Files of runs go through it; runs work in its roots and nowhere else. */
  readonly files: FileGuard;
  /** For the provider `engine`. @default none */
  readonly models?: EngineModels | undefined;
  /** By name; each kind is there under its own name as it is. @default {} */
  readonly providers?: Readonly<Record<string, ProviderOptions>> | undefined;
  /** Of runs that name none. @default `engine` when there are models, else `openai` */
  readonly defaultProvider?: string | undefined;
  /** Of runs that say nothing. @default all */
  readonly gate?: GatePolicy | undefined;
  /** Undecided for so long, a gate is denied. @default 86,400,000 */
  readonly gateTimeoutMs?: number | undefined;
  readonly shell?: ShellOptions | undefined;
  /** Lets runs fetch pages. @default off */
  readonly fetch?: FetchOptions | undefined;
  /** Whose tools runs have. @default none */
  readonly mcpServers?: readonly McpServer[] | undefined;
  /** Secrets that this process holds, which no audit shows. @default none */
  readonly secrets?: readonly string[] | undefined;
  /** Milliseconds since 1970, for tests. @default the clock of the database */
  readonly now?: (() => number) | undefined;
  /** How long `close` lets tools that are at work come to an end. @default 5000 */
  readonly graceMs?: number | undefined;
  /** Failures with no caller to reject. @default process.emitWarning */
  readonly onWarning?: ((error: unknown) => void) | undefined;
}

/** A task, or with `tickets` a track. */
export interface RunInput {
  readonly prompt?: string | undefined;
  readonly tickets?: readonly Ticket[] | undefined;
  /** Documents that the model is to know, as Markdown. */
  readonly stableMd?: string | undefined;
  /** Files that the model is given, and told of when they change; relative to `baseDir`. */
  readonly fileItems?: readonly string[] | undefined;
  /** A discussion that went before. */
  readonly discText?: string | undefined;
  /** @default the first root of the guard */
  readonly baseDir?: string | undefined;
  readonly provider?: string | undefined;
  /** @default the provider's */
  readonly model?: string | undefined;
  /** @default 0 */
  readonly temperature?: number | undefined;
  /** @default 8192 */
  readonly maxTokens?: number | undefined;
  /** The tool that the model has to call first, for models that would rather talk. @default as the model likes */
  readonly firstTool?: string | undefined;
  readonly gate?: GatePolicy | undefined;
  readonly gateTimeoutMs?: number | undefined;
  /** Whose cache, files and locks it uses. @default one of its own */
  readonly agentId?: string | undefined;
  /** @default one of its own */
  readonly sessionId?: string | undefined;
}

/** Which runs to list. */
export interface RunFilter {
  readonly status?: Run['status'] | undefined;
  readonly parentId?: string | undefined;
  readonly sessionId?: string | undefined;
  /** 1 to 1,000. @default 100 */
  readonly limit?: number | undefined;
}

/** An open clutch. Whoever opened it closes it, before the guard. */
export interface Clutch {
  readonly gates: Gates;
  /** All that happens, in order, from where one was. */
  readonly bus: EventBus;
  /** What it has come to so far. */
  readonly state: StateStore;
  /** Those that runs may name. */
  readonly providerNames: readonly string[];
  /** What runs have that say nothing. */
  readonly defaults: RunDefaults;
  /** @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD, PATH_DENIED, SHUTTING_DOWN, DB_BUSY */
  start(input: RunInput): Promise<Run>;
  /** @throws StompError RUN_NOT_FOUND */
  run(id: string): Promise<Run>;
  /** With all that was said and done. @throws StompError RUN_NOT_FOUND */
  detail(id: string): Promise<RunDetailWire>;
  /** Newest first. */
  runs(filter?: RunFilter): Promise<Run[]>;
  /**
   * Ends it, its children and its gates. What a tool has done stays done.
   * @throws StompError RUN_NOT_FOUND, RUN_ENDED
   */
  abort(id: string, by: string): Promise<Run>;
  /** Resolves when it is over. @throws StompError RUN_NOT_FOUND, SHUTTING_DOWN; what the signal gives as its reason */
  ended(id: string, signal?: AbortSignal): Promise<Run>;
  /** Adds to `http.jsonl` of the run's session. */
  auditHttp(runId: string, record: Readonly<Record<string, unknown>>): Promise<void>;
  /** Takes nothing new, lets tools at work come to an end, and leaves runs for whoever opens the clutch next. */
  close(): Promise<void>;
}
