/**
 * The one table of settings. Flags, environment names, TOML keys, `--help`, the reference in the docs,
 * `config/default.toml`, `.env.example` and every validation error are made from it, so a setting is
 * added or changed here and nowhere else. Flag names and TOML keys are a contract with users.
 */

import { refuseAliases } from './alias-names.js';

/** Subcommands that read settings. */
export type Command =
  | 'serve'
  | 'mcp'
  | 'demo'
  | 'agents'
  | 'locks'
  | 'context'
  | 'models'
  | 'keys'
  | 'doctor'
  | 'setup'
  | 'bench'
  | 'perplexity'
  | 'stress'
  | ReservationCommand
  | ClutchCommand;

/** One of `RESERVATION_COMMANDS`. */
export type ReservationCommand = (typeof RESERVATION_COMMANDS)[number];

/** One of `CLUTCH_COMMANDS`. */
export type ClutchCommand = (typeof CLUTCH_COMMANDS)[number];

/** What a person does about runs, at a server that runs. */
export const CLUTCH_COMMANDS = ['run', 'approvals', 'approve', 'reject', 'audit'] as const;

/** What agents do about symbols: each is a tool, too. */
export const RESERVATION_COMMANDS = [
  'reserve',
  'intent',
  'release',
  'renew',
  'list',
  'await',
  'forecast',
  'impact',
  'shard',
  'plan-merge',
  'reconcile',
  'gc',
] as const;

interface Common {
  /** Flag without the dashes; the environment name and the key of `Settings` follow from it. */
  readonly name: string;
  /** Dotted key in TOML: table and key. */
  readonly toml: string;
  /** One sentence without the full stop: what it does. */
  readonly doc: string;
  readonly commands: readonly Command[];
  /** What an unset optional setting means, for the help. */
  readonly unset?: string;
  /** A reason why a well-formed value cannot be had in this version. */
  readonly refuse?: (value: never) => string | undefined;
}

interface NumberSetting extends Common {
  readonly type: 'integer' | 'number';
  readonly default: number | undefined;
  readonly min: number;
  readonly max: number;
  /** Every value is a multiple of this. */
  readonly step?: number;
  readonly unit?: string;
}

interface ChoiceSetting extends Common {
  readonly type: 'choice';
  readonly default: string;
  readonly allowed: readonly string[];
}

interface NumberChoiceSetting extends Common {
  readonly type: 'number-choice';
  readonly default: number;
  readonly allowed: readonly number[];
  readonly unit?: string;
}

interface TextSetting extends Common {
  /** A path has a leading `~` expanded and is made absolute against the working directory. */
  readonly type: 'string' | 'path';
  readonly default: string | undefined;
}

interface FlagSetting extends Common {
  readonly type: 'boolean';
  readonly default: boolean;
}

export type Setting = NumberSetting | ChoiceSetting | NumberChoiceSetting | TextSetting | FlagSetting;

const MODEL_COMMANDS = ['serve', 'demo', 'doctor', 'bench', 'perplexity'] as const;
const CONTEXT_COMMANDS = ['serve', 'mcp', 'context'] as const;
const ENGINE_COMMANDS = ['serve', 'demo', 'bench', 'perplexity'] as const;

export const SETTINGS = [
  {
    name: 'model',
    toml: 'engine.model',
    type: 'string',
    default: 'smollm2-135m',
    doc: 'Model: a known name, a directory, a .gguf file, or a hub id (owner/name)',
    commands: MODEL_COMMANDS,
  },
  {
    name: 'model-alias',
    toml: 'engine.model_alias',
    type: 'string',
    default: undefined,
    unset: 'none',
    doc: 'Other names, separated by commas, under which requests may ask for the model that is loaded, a * at the end standing for anything: claude-*; or NAME=MODEL for one model',
    commands: ['serve'],
    refuse: (value: string | undefined) => (value === undefined ? undefined : refuseAliases(value)),
  },
  {
    name: 'executor',
    toml: 'engine.executor',
    type: 'choice',
    default: 'auto',
    allowed: ['auto', 'cpu', 'mlx'],
    doc: 'What computes: auto is mlx on macOS and cpu elsewhere; a named one is never replaced by another',
    commands: MODEL_COMMANDS,
  },
  {
    name: 'threads',
    toml: 'engine.threads',
    type: 'integer',
    default: undefined,
    min: 1,
    max: 1024,
    unset: 'by the machine',
    doc: 'Threads of the CPU executor',
    commands: ENGINE_COMMANDS,
  },
  {
    name: 'numerics',
    toml: 'engine.numerics',
    type: 'choice',
    default: 'fast',
    allowed: ['fast', 'exact'],
    doc: 'exact makes warm, forked, restored and batched runs equal cold ones bit for bit, more slowly',
    commands: ENGINE_COMMANDS,
  },
  {
    name: 'max-context',
    toml: 'engine.max_context',
    type: 'integer',
    default: undefined,
    min: 16,
    max: 16_777_216,
    unit: 'tokens',
    unset: "the model's own",
    doc: 'Longest conversation, prompt and answer together',
    commands: ENGINE_COMMANDS,
  },
  {
    name: 'max-batch-size',
    toml: 'engine.max_batch_size',
    type: 'integer',
    default: 16,
    min: 1,
    max: 64,
    unit: 'sequences',
    doc: 'Agents that generate at the same time in one step',
    commands: ['serve', 'demo'],
  },
  {
    name: 'prefill-step-tokens',
    toml: 'engine.prefill_step_tokens',
    type: 'integer',
    default: 512,
    min: 16,
    max: 65_536,
    unit: 'tokens',
    doc: 'Prompt tokens computed in one step; smaller keeps other agents smoother',
    commands: ENGINE_COMMANDS,
  },
  {
    name: 'batch-window-ms',
    toml: 'engine.batch_window_ms',
    type: 'integer',
    default: 0,
    min: 0,
    max: 1000,
    unit: 'ms',
    doc: 'Wait of an idle engine for more requests before it begins; only delays first tokens, as a rule',
    commands: ['serve'],
  },
  {
    name: 'speculation',
    toml: 'engine.speculation',
    type: 'choice',
    default: 'auto',
    allowed: ['auto', 'off'],
    doc: 'auto computes several tokens a step where an answer repeats itself and that pays; answers stay the same',
    commands: ENGINE_COMMANDS,
  },
  {
    name: 'watchdog-seconds',
    toml: 'engine.watchdog_seconds',
    type: 'number',
    default: 120,
    min: 0,
    max: 86_400,
    unit: 'seconds',
    doc: 'A step that takes longer is reported as one that hangs, and the server as not ready; 0: never',
    commands: ['serve'],
  },
  {
    name: 'max-queue',
    toml: 'engine.max_queue',
    type: 'integer',
    default: 256,
    min: 1,
    max: 100_000,
    unit: 'requests',
    doc: 'Requests that may wait for a place in the batch; more are refused with 429',
    commands: ['serve'],
  },
  {
    name: 'model-ttl-seconds',
    toml: 'engine.model_ttl_seconds',
    type: 'number',
    default: undefined,
    min: 1,
    max: 2_000_000,
    unit: 'seconds',
    unset: 'never',
    doc: 'A model without requests for so long is unloaded; the next request loads it again',
    commands: ['serve'],
  },
  {
    name: 'swap-timeout-seconds',
    toml: 'engine.swap_timeout_seconds',
    type: 'number',
    default: 30,
    min: 0,
    max: 3600,
    unit: 'seconds',
    doc: 'How long running requests may go on before they are cancelled for another model',
    commands: ['serve'],
  },
  {
    name: 'swap-wait-seconds',
    toml: 'engine.swap_wait_seconds',
    type: 'number',
    default: 30,
    min: 0,
    max: 3600,
    unit: 'seconds',
    doc: 'How long requests wait for a model that is being exchanged before they are refused with 503',
    commands: ['serve'],
  },
  {
    name: 'cache-dir',
    toml: 'cache.dir',
    type: 'path',
    default: '~/.stomp-serve/caches',
    doc: 'Folder that keeps the agents between runs; one server at a time may use it',
    commands: ['serve', 'agents', 'doctor'],
  },
  {
    name: 'cache-budget-mb',
    toml: 'cache.budget_mb',
    type: 'integer',
    default: 4096,
    min: 16,
    max: 16_777_216,
    unit: 'MB',
    doc: "Memory for the agents' caches",
    commands: ENGINE_COMMANDS,
  },
  {
    name: 'disk-budget-mb',
    toml: 'cache.disk_budget_mb',
    type: 'integer',
    default: 32_768,
    min: 0,
    max: 16_777_216,
    unit: 'MB',
    doc: 'Disk for the agents of all models in the cache folder; beyond it those used longest ago keep only their transcripts; 0: no limit',
    commands: ['serve'],
  },
  {
    name: 'block-tokens',
    toml: 'cache.block_tokens',
    type: 'integer',
    default: 64,
    min: 16,
    max: 1024,
    step: 16,
    unit: 'tokens',
    doc: 'Tokens in one cache block, the unit of sharing between agents',
    commands: ENGINE_COMMANDS,
  },
  {
    name: 'kv-bits',
    toml: 'cache.kv_bits',
    type: 'number-choice',
    default: 16,
    allowed: [16, 8, 4],
    unit: 'bits',
    doc: 'Precision of cached keys and values: 8 takes about half the room of 16, 4 little more than a quarter',
    commands: ENGINE_COMMANDS,
  },
  {
    name: 'max-agents-in-memory',
    toml: 'cache.max_agents_in_memory',
    type: 'integer',
    default: undefined,
    min: 1,
    max: 1_000_000,
    unit: 'agents',
    unset: 'as many as the budget holds',
    doc: 'Idle agents kept in memory; the least recently used go to disk',
    commands: ['serve'],
  },
  {
    name: 'host',
    toml: 'server.host',
    type: 'string',
    default: '127.0.0.1',
    doc: 'Address to listen on; one that other machines reach needs allow-remote and api-key-file',
    commands: ['serve', 'agents', ...CLUTCH_COMMANDS],
  },
  {
    name: 'port',
    toml: 'server.port',
    type: 'integer',
    default: 8000,
    min: 0,
    max: 65_535,
    doc: 'Port to listen on; 0 takes a free one',
    commands: ['serve', 'agents', ...CLUTCH_COMMANDS],
  },
  {
    name: 'allow-remote',
    toml: 'server.allow_remote',
    type: 'boolean',
    default: false,
    doc: 'Let host be an address that other machines reach; needs api-key-file',
    commands: ['serve'],
  },
  {
    name: 'api-key-file',
    toml: 'server.api_key_file',
    type: 'path',
    default: undefined,
    unset: 'no keys, and only this machine is served',
    doc: 'File of API keys, one line each: role key [name], with the role user, admin or approver',
    commands: ['serve', 'agents', ...CLUTCH_COMMANDS],
  },
  {
    name: 'allowed-hosts',
    toml: 'server.allowed_hosts',
    type: 'string',
    default: undefined,
    unset: 'localhost and addresses',
    doc: 'More names, separated by commas, under which the server may be asked',
    commands: ['serve'],
  },
  {
    name: 'cors-origin',
    toml: 'server.cors_origin',
    type: 'string',
    default: undefined,
    unset: 'none',
    doc: 'Origins, separated by commas, whose web pages may call the server: https://agents.example',
    commands: ['serve'],
  },
  {
    name: 'rate-limit-per-agent',
    toml: 'server.rate_limit_per_agent',
    type: 'integer',
    default: 0,
    min: 0,
    max: 1_000_000,
    unit: 'requests a minute',
    doc: 'Turns of one agent; more are refused with 429; 0 for no limit',
    commands: ['serve'],
  },
  {
    name: 'rate-limit-per-key',
    toml: 'server.rate_limit_per_key',
    type: 'integer',
    default: 0,
    min: 0,
    max: 1_000_000,
    unit: 'requests a minute',
    doc: 'Requests with one API key; more are refused with 429; 0 for no limit',
    commands: ['serve'],
  },
  {
    name: 'body-limit-mb',
    toml: 'server.body_limit_mb',
    type: 'integer',
    default: 32,
    min: 1,
    max: 256,
    unit: 'MB',
    doc: 'Largest request body; larger ones are refused with 413',
    commands: ['serve'],
  },
  {
    name: 'max-connections',
    toml: 'server.max_connections',
    type: 'integer',
    default: 4096,
    min: 1,
    max: 1_000_000,
    unit: 'connections',
    doc: 'Connections at the same time; more are closed at once',
    commands: ['serve'],
  },
  {
    name: 'request-timeout-seconds',
    toml: 'server.request_timeout_seconds',
    type: 'number',
    default: 120,
    min: 1,
    max: 3600,
    unit: 'seconds',
    doc: 'How long a request may take to arrive, with its body; the answer takes as long as it takes',
    commands: ['serve'],
  },
  {
    name: 'shutdown-timeout-seconds',
    toml: 'server.shutdown_timeout_seconds',
    type: 'number',
    default: 30,
    min: 0,
    max: 3600,
    unit: 'seconds',
    doc: 'How long running requests may go on after Ctrl-C before they are cancelled',
    commands: ['serve'],
  },
  {
    name: 'log-level',
    toml: 'log.level',
    type: 'choice',
    default: 'info',
    allowed: ['trace', 'debug', 'info', 'warn', 'error', 'silent'],
    doc: 'Least severe log lines to write (JSON on standard error); no prompt text from info upwards',
    commands: ['serve', 'mcp'],
  },
  {
    name: 'otlp-endpoint',
    toml: 'log.otlp_endpoint',
    type: 'string',
    default: undefined,
    unset: 'that of OTEL_EXPORTER_OTLP_ENDPOINT, or no traces',
    doc: 'Collector of OpenTelemetry traces, over OTLP and HTTP: http://localhost:4318',
    commands: ['serve'],
  },
  {
    name: 'database',
    toml: 'storage.database',
    type: 'string',
    default: '~/.stomp-serve/stomp.db',
    doc: 'Where locks and what they guard are kept: a file for SQLite, or postgres://user:password@host/database',
    commands: ['serve', 'mcp', 'locks', 'context', 'stress', ...RESERVATION_COMMANDS, ...CLUTCH_COMMANDS],
  },
  {
    name: 'roots',
    toml: 'guard.roots',
    type: 'string',
    default: '.',
    doc: 'Folders in which agents may read and change files, separated by colons (semicolons on Windows)',
    commands: ['serve', 'mcp', 'context'],
  },
  {
    name: 'max-file-mb',
    toml: 'guard.max_file_mb',
    type: 'integer',
    default: 10,
    min: 1,
    max: 2047,
    unit: 'MB',
    doc: 'Largest file that agents may read or write',
    commands: ['serve', 'mcp'],
  },
  {
    name: 'state-file',
    toml: 'context.state_file',
    type: 'string',
    default: '.stomp/state.json',
    doc: 'File that shows what the agents work on, below the first root unless it is absolute; none for none',
    commands: CONTEXT_COMMANDS,
  },
  {
    name: 'session-lease-seconds',
    toml: 'context.session_lease_seconds',
    type: 'number',
    default: 900,
    min: 1,
    max: 31_536_000,
    unit: 'seconds',
    doc: 'How long the session of an agent lives unless it is renewed',
    commands: CONTEXT_COMMANDS,
  },
  {
    name: 'session-starts-per-minute',
    toml: 'context.session_starts_per_minute',
    type: 'integer',
    default: 600,
    min: 1,
    max: 1_000_000_000,
    unit: 'sessions',
    doc: 'Sessions that one agent may start within a minute',
    commands: CONTEXT_COMMANDS,
  },
  {
    name: 'max-sessions',
    toml: 'context.max_sessions',
    type: 'integer',
    default: 10_000,
    min: 1,
    max: 1_000_000_000,
    unit: 'sessions',
    doc: 'Sessions of all agents that may be active at the same time',
    commands: CONTEXT_COMMANDS,
  },
  {
    name: 'rotate-mb',
    toml: 'context.rotate_mb',
    type: 'integer',
    default: 8,
    min: 1,
    max: 1024,
    unit: 'MB',
    doc: 'Size at which the file of a progress log is closed and a new one begun',
    commands: CONTEXT_COMMANDS,
  },
  {
    name: 'repository',
    toml: 'reservations.repository',
    type: 'path',
    default: undefined,
    unset: 'the first root, or the current folder',
    doc: 'Folder of the git repository whose symbols agents reserve',
    commands: ['serve', 'mcp', ...RESERVATION_COMMANDS],
  },
  {
    name: 'reservations',
    toml: 'reservations.records',
    type: 'string',
    default: 'files',
    doc: 'Where reservations are kept: files are those in .muse/coordination of the repository; database is the one of --database; or another database, as a file or postgres://…',
    commands: ['serve', 'mcp', ...RESERVATION_COMMANDS],
  },
  {
    name: 'repository-name',
    toml: 'reservations.name',
    type: 'string',
    default: undefined,
    unset: 'the name of its folder',
    doc: 'Name of the repository among those whose reservations are in the database',
    commands: ['serve', 'mcp', ...RESERVATION_COMMANDS],
  },
  {
    name: 'gate',
    toml: 'clutch.gate',
    type: 'choice',
    default: 'all',
    allowed: ['all', 'step', 'none'],
    doc: 'What of a run waits for a person: all is every call that changes something, step all that a round would change at once, none nothing',
    commands: ['serve'],
  },
  {
    name: 'gate-timeout-seconds',
    toml: 'clutch.gate_timeout_seconds',
    type: 'number',
    default: 86_400,
    min: 1,
    max: 31_536_000,
    unit: 'seconds',
    doc: 'What nobody has decided for so long is denied',
    commands: ['serve'],
  },
  {
    name: 'audit-dir',
    toml: 'clutch.audit_dir',
    type: 'path',
    default: '~/.stomp-serve/audit',
    doc: 'Folder that keeps what was said and done in runs, one folder for each session',
    commands: ['serve'],
  },
  {
    name: 'default-provider',
    toml: 'clutch.default_provider',
    type: 'string',
    default: 'engine',
    doc: 'Who answers in runs that name no provider: engine is the model of this server',
    commands: ['serve'],
  },
  {
    name: 'providers',
    toml: 'clutch.providers',
    type: 'path',
    default: undefined,
    unset: 'only those that are known by name',
    doc: 'File of further providers of runs, as TOML or JSON: a name with kind, base_url, key_env, key_file, default_model and so on',
    commands: ['serve'],
  },
  {
    name: 'mcp-servers',
    toml: 'clutch.mcp_servers',
    type: 'path',
    default: undefined,
    unset: 'none',
    doc: 'File of MCP servers whose tools runs have, as JSON with mcpServers as other clients write it',
    commands: ['serve'],
  },
  {
    name: 'allow-fetch',
    toml: 'clutch.allow_fetch',
    type: 'boolean',
    default: false,
    doc: 'Let runs fetch pages of the public internet',
    commands: ['serve'],
  },
  {
    name: 'elicit-approvals',
    toml: 'clutch.elicit_approvals',
    type: 'boolean',
    default: false,
    doc: 'Ask the person behind an MCP client that waits for a run for its approvals; such a client must have a person',
    commands: ['serve'],
  },
  {
    name: 'role',
    toml: 'keys.role',
    type: 'choice',
    default: 'user',
    allowed: ['user', 'admin', 'approver'],
    doc: 'What the new key is good for',
    commands: ['keys'],
  },
  {
    name: 'gpu',
    toml: 'doctor.gpu',
    type: 'boolean',
    default: false,
    doc: "Try the GPU kernels against MLX's own operations, and print a table to paste into a report",
    commands: ['doctor'],
  },
  {
    name: 'once',
    toml: 'locks.once',
    type: 'boolean',
    default: false,
    doc: 'Show the locks once; without it a terminal is kept up to date until Ctrl-C',
    commands: ['locks'],
  },
  {
    name: 'agents',
    toml: 'stress.agents',
    type: 'integer',
    default: 4,
    min: 1,
    max: 256,
    unit: 'processes',
    doc: 'Agents that work at the same time, each in a process of its own',
    commands: ['stress'],
  },
  {
    name: 'duration',
    toml: 'stress.duration',
    type: 'number',
    default: 10,
    min: 0.1,
    max: 86_400,
    unit: 'seconds',
    doc: 'How long they work',
    commands: ['stress'],
  },
  {
    name: 'operations',
    toml: 'stress.operations',
    type: 'integer',
    default: undefined,
    min: 1,
    max: 1_000_000_000,
    unit: 'operations',
    unset: 'as many as they can',
    doc: 'End when so many operations are done, however long it takes',
    commands: ['stress'],
  },
  {
    name: 'scenario',
    toml: 'stress.scenario',
    type: 'choice',
    default: 'mixed',
    allowed: ['files', 'db', 'graph', 'docs', 'mixed'],
    doc: 'What they work on',
    commands: ['stress'],
  },
  {
    name: 'backend',
    toml: 'stress.backend',
    type: 'choice',
    default: 'sqlite',
    allowed: ['sqlite', 'postgres'],
    doc: 'Where their locks are: sqlite takes a file of its own, postgres the server that database names',
    commands: ['stress'],
  },
  {
    name: 'kill',
    toml: 'stress.kill',
    type: 'boolean',
    default: false,
    doc: 'Kill agents at random while they work, and start others',
    commands: ['stress'],
  },
] as const satisfies readonly Setting[];

type Entry = (typeof SETTINGS)[number];
export type SettingName = Entry['name'];

type CamelCase<S extends string> = S extends `${infer Head}-${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : S;

type Maybe<S extends Entry> = undefined extends S['default'] ? undefined : never;

type ValueOf<S extends Entry> = S['type'] extends 'integer' | 'number'
  ? number | Maybe<S>
  : S['type'] extends 'boolean'
    ? boolean
    : S extends { readonly allowed: readonly (infer Allowed)[] }
      ? Allowed
      : string | Maybe<S>;

/** Every setting with its final value, keyed in camel case. */
export type Settings = { readonly [S in Entry as CamelCase<S['name']>]: ValueOf<S> };

/** Key of a setting in `Settings`: `max-batch-size` -> `maxBatchSize`. */
export function settingKey(name: string): keyof Settings {
  return name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase()) as keyof Settings;
}

/** Environment name of a setting: `max-batch-size` -> `STOMP_MAX_BATCH_SIZE`. */
export function environmentName(name: string): string {
  return `STOMP_${name.toUpperCase().replaceAll('-', '_')}`;
}

/** Whether a host is this machine only. */
export function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[|\]$/g, '').toLowerCase();
  return bare === 'localhost' || bare === '::1' || /^127(\.\d{1,3}){3}$/.test(bare);
}
