/**
 * The only loader of the native addon, and the only place where its shape is typed. Everything here
 * mirrors `cpp/binding`; arguments are validated by the callers in `ts/engine`.
 */

import { createRequire } from 'node:module';
import { StompError } from './errors.js';
import { buildCommand, findMlxLibrary, thisHome } from './mlx-home.js';

/** Options of one engine; every field is set (the defaults live in `ts/config`). */
export interface NativeEngineOptions {
  modelPath: string;
  executor: 'cpu' | 'mlx';
  mlxLibrary: string;
  threads: number;
  exact: boolean;
  kvBits: number;
  blockTokens: number;
  cacheBudgetBytes: number;
  maxBatchSize: number;
  prefillStepTokens: number;
  maxQueue: number;
  maxAgents: number;
  maxContext: number;
  /** Draft what an answer repeats, where that pays. */
  speculation: boolean;
  /** Empty: agents are not kept on disk. */
  cacheDir: string;
  /** Of all models' agents in there; 0: no limit. */
  diskBudgetBytes: number;
  batchWindowMs: number;
}

export interface NativeRequest {
  id: number;
  /** Empty: no agent. */
  agent: string;
  prompt: Int32Array;
  priority: 'high' | 'normal' | 'low';
  /** 0: as many as the context allows. */
  maxTokens: number;
  stopIds: Int32Array;
  ignoreEos: boolean;
  temperature: number;
  topK: number;
  topP: number;
  minP: number;
  /** 1: off. */
  repetitionPenalty: number;
  presencePenalty: number;
  frequencyPenalty: number;
  /** Token ids, and for each what is added to its logit. */
  biasIds: Int32Array;
  biases: Float32Array;
  /** -1: no log-probabilities; else how many of the likeliest come with each token. */
  topLogprobs: number;
  /** Form of the answer, as `ts/engine/grammar/ir.ts` has it, in JSON; empty: any. Needs `setVocabulary`. */
  grammar: string;
  /** After `reasoningBudget` tokens without `reasoningEnd` among them, `reasoningEnd` is forced. Empty: no budget. */
  reasoningEnd: Int32Array;
  reasoningBudget: number;
  /** Tokens to answer with in the place of those that would be chosen; then the answer ends. Empty: none. */
  script: Int32Array;
  /** Unsigned 53 bits. */
  seed: number;
  cacheSalt: string;
  score: boolean;
}

export interface NativeUsage {
  promptTokens: number;
  cachedTokens: number;
  ownTokens: number;
  sharedTokens: number;
  restoredTokens: number;
  generatedTokens: number;
  draftedTokens: number;
  acceptedTokens: number;
  missReason: string;
  queuedMs: number;
  firstTokenMs: number;
  totalMs: number;
}

/** An error as it crosses the binding: promises reject with an `Error` that carries the same fields. */
export interface NativeError {
  code: string;
  message: string;
  fields: Record<string, string>;
}

export interface NativeFinish {
  request: number;
  reason: 'stop' | 'length' | 'cancelled' | 'error';
  usage: NativeUsage;
  error?: NativeError;
  /** Scoring requests only. */
  logprobs?: Float32Array;
}

/**
 * One call for what the engine's steps have brought since the last one: usually one step.
 * events: `count` triples in order: (request, token, 0); (request, token, -1 - n) with n log-probabilities;
 * (request, cached prompt tokens, -1) when its prompt is begun; (request, prompt tokens done, of how many).
 * logprobs: pairs (token, log-probability) in the order of the events, n for each that has them: the token's own,
 * then the likeliest ones. Undefined where no event has any.
 * The array of events is the same at every call and is written anew; read it before returning.
 */
export type NativeOnStep = (
  events: Int32Array,
  count: number,
  finished: readonly NativeFinish[],
  logprobs?: Float32Array,
) => void;

export interface NativeAgentInfo {
  id: string;
  tier: 'active' | 'hot' | 'warm' | 'cold';
  tokens: number;
  blocks: number;
  poolBytes: number;
  diskBytes: number;
  saved: boolean;
  lastUsedMs: number;
  requests: number;
  promptTokens: number;
  cachedTokens: number;
}

export interface NativeExecutorInfo {
  name: 'cpu' | 'mlx';
  device: string;
  isa: string;
  numerics: string;
  threads: number;
}

export interface NativeStats {
  executor: NativeExecutorInfo;
  memory: { weightsBytes: number; poolBytes: number; scratchBytes: number };
  blockTokens: number;
  /** One entry per layer group. */
  pool: { capacity: number; free: number; cached: number; blockBytes: number }[];
  cache: {
    lookups: number;
    lookupTokens: number;
    ownHitTokens: number;
    sharedHitTokens: number;
    indexedBlocks: number;
  };
  active: number;
  waiting: number;
  agentsHot: number;
  steps: number;
  prefillTokens: number;
  decodeTokens: number;
  draftedTokens: number;
  acceptedTokens: number;
  preemptions: number;
  evictionsHot: number;
  /** Agents on disk that went cold. */
  demotions: number;
  /** Of the whole cache folder. */
  diskBytes: number;
  /** That this model's agents would take more if each had a copy of its own of what they share. */
  diskSharedBytes: number;
  saves: number;
  saveFailures: number;
  saveSeconds: number;
  stepSeconds: number;
  lastSaveError: string;
}

export interface NativeModelInfo {
  family: string;
  name: string;
  fingerprint: string;
  nLayers: number;
  dModel: number;
  nHeads: number;
  nKvHeads: number;
  headDim: number;
  vocabSize: number;
  /** Tokens; after options and pool. */
  maxContext: number;
  eosIds: number[];
  executor: NativeExecutorInfo;
}

export interface NativeEngine {
  submit(request: NativeRequest): void;
  cancel(request: number): void;
  agents(): Promise<NativeAgentInfo[]>;
  create(agent: string): Promise<void>;
  fork(from: string, to: string): Promise<void>;
  /** From disk into memory; nothing for an agent that is there. */
  load(agent: string): Promise<void>;
  save(agent: string, transcript: string): Promise<void>;
  transcript(agent: string): Promise<string>;
  evict(agent: string): Promise<void>;
  remove(agent: string): Promise<void>;
  stats(): Promise<NativeStats>;
  /** How long the engine has been at what it does, usually a step; 0: it has nothing to do. Answers at once. */
  silentMs(): number;
  /** Bytes of token i end at `ends[i]` and begin where those before end; none for markers. */
  setVocabulary(bytes: Uint8Array, ends: Int32Array): Promise<void>;
  /** Makes a request's `grammar` ready on a thread of its own, so that running requests do not wait for it. */
  compile(grammar: string): Promise<void>;
  setBatchWindow(ms: number): void;
  /** With `disk`, of the agents to `keep` only the files go. */
  clearCaches(disk: boolean, keep: readonly string[]): Promise<void>;
  close(): Promise<void>;
}

/** GGUF metadata in file order; integers and booleans arrive as numbers. */
export type GgufMetadata = Record<string, number | string | number[] | string[]>;

/** One shape that kernels were tried with. */
export interface NativeKernelCheck {
  readonly name: string;
  /** Empty: as it should be. */
  readonly failure: string;
  /** The largest, as a share of the largest result. */
  readonly difference: number;
  /** Of one layer's attention. */
  readonly microseconds: number;
}

export interface NativeBinding {
  readonly version: string;
  /** Instruction sets of this CPU that the kernels know, best last. */
  cpuFeatures(): string[];
  /**
   * Tries the MLX executor's own kernels against MLX's operations on a device; none where it has none for it.
   * @throws EXECUTOR_UNAVAILABLE
   */
  checkKernels(mlxLibrary: string, device: string): NativeKernelCheck[];
  readGgufMetadata(path: string): GgufMetadata;
  /**
   * Takes an agent of the model with that fingerprint out of a cache folder that no engine uses; false: it is not there.
   * @throws CACHE_IN_USE, CACHE_PERSISTENCE
   */
  removeStoredAgent(cacheDir: string, fingerprint: string, agent: string): boolean;
  /** Loads on the engine's own thread. `onProgress` gets fractions in [0, 1]. */
  loadEngine(
    options: NativeEngineOptions,
    onProgress: (fraction: number) => void,
    onStep: NativeOnStep,
  ): Promise<{ engine: NativeEngine; info: NativeModelInfo }>;
}

/** What `node-gyp-build` exports: it opens the addon of a package, or says which file it would open. */
interface AddonFinder {
  (packageRoot: string): unknown;
  resolve(packageRoot: string): string;
}

const { packageRoot } = thisHome;
let binding: NativeBinding | undefined;

/**
 * The addon, loaded on first use.
 * @throws StompError `ENGINE_UNAVAILABLE` when this machine has none, with the remedy.
 */
export function native(): NativeBinding {
  if (binding) return binding;
  try {
    binding = addonFinder()(packageRoot) as NativeBinding;
    return binding;
  } catch (cause) {
    throw new StompError('ENGINE_UNAVAILABLE', unavailable(cause), { cause });
  }
}

/** Path of the addon that `native` opens: built from source, or a prebuild. */
export function addonPath(): string {
  return addonFinder().resolve(packageRoot);
}

/** Path of the MLX executor's shared library, or undefined when there is none with MLX beside it. */
export function mlxLibraryPath(): string | undefined {
  return findMlxLibrary(thisHome);
}

function addonFinder(): AddonFinder {
  return createRequire(import.meta.url)('node-gyp-build') as AddonFinder;
}

function unavailable(cause: unknown): string {
  const platform = `${process.platform}-${process.arch}`;
  const reason = cause instanceof Error ? cause.message.split('\n')[0] : String(cause);
  return (
    `The inference engine is not available on ${platform}: ${reason}. ` +
    `Run \`${buildCommand(thisHome)}\` to build it (needs a C++20 compiler and cmake), ` +
    'or use the parts that need no engine.'
  );
}
