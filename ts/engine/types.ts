/**
 * The public types of the engine. Sizes carry their unit in the name: `…Tokens`, `…Bytes`, `…Ms`, `…Mb`
 * (2^20 bytes).
 */

import type { StompError } from '../errors.js';
import type { NativeAgentInfo, NativeExecutorInfo, NativeStats } from '../native.js';

/** What a load is busy with. */
export type LoadProgress =
  | {
      phase: 'download';
      /** Name of the file on its way. */
      file: string;
      doneBytes: number;
      /** Undefined while the sender has not said. */
      totalBytes: number | undefined;
    }
  | {
      phase: 'load';
      /** 0 to 1. */
      fraction: number;
    };

/** Bits of a cached key or value. */
export type KvBits = 16 | 8;

/** How a model is loaded and how much of the machine it may use. */
export interface EngineOptions {
  /**
   * Who computes. `auto`: `mlx` on macOS, `cpu` elsewhere. There is no fallback from a named one:
   * EXECUTOR_UNAVAILABLE says what is missing.
   * @default 'auto'
   */
  executor?: 'auto' | 'cpu' | 'mlx' | undefined;
  /** Threads of the CPU executor; 0: by the machine. @default 0 */
  threads?: number | undefined;
  /**
   * `exact`: one arithmetic for prompts and answers, so that warm, forked and restored runs equal cold
   * ones bit for bit. @default 'fast'
   */
  numerics?: 'fast' | 'exact' | undefined;
  /** Tokens in a block of the cache: 16 to 1024, a multiple of 16. @default 64 */
  blockTokens?: number | undefined;
  /** Memory for the cache of all agents. @default 4096 */
  cacheBudgetMb?: number | undefined;
  /** Sequences in one step: 1 to 64. @default 16 */
  maxBatchSize?: number | undefined;
  /** Prompt tokens in one step: 16 to 65536. @default 512 */
  prefillStepTokens?: number | undefined;
  /** Requests that may wait for a place in the batch; one more is refused (QUEUE_FULL). @default 256 */
  maxQueue?: number | undefined;
  /** Idle agents kept in memory; 0: as many as the budget holds. @default 0 */
  maxAgentsInMemory?: number | undefined;
  /** Longest conversation in tokens; 0: the model's own limit. @default 0 */
  maxContext?: number | undefined;
  /**
   * Folder of the agents' caches; null: nothing is kept on disk.
   * @default '~/.stomp-serve/caches'
   */
  cacheDir?: string | null | undefined;
  /**
   * Bits of a cached key or value in memory: 8 halves the cache and what a long conversation costs per token,
   * for a little precision. The `mlx` executor has 16 alone. @default 16
   */
  kvBits?: KvBits | undefined;
  /** Called often, on the main thread, while the model is downloaded and loaded. */
  onProgress?: ((progress: LoadProgress) => void) | undefined;
  /**
   * Failures with no caller to reject, above all of saves in the background.
   * @default process.emitWarning
   */
  onWarning?: ((warning: StompError) => void) | undefined;
  /** Ends a load early. Has no effect once the engine is there. */
  signal?: AbortSignal | undefined;
}

/** Who speaks; templates decide what becomes of `tool`. */
export type ChatRole = 'system' | 'user' | 'assistant' | 'tool';

/** A piece of a message's content, as OpenAI's API has it. */
export interface TextPart {
  type: 'text';
  text: string;
}

/** One entry of a conversation. */
export interface ChatMessage {
  role: ChatRole;
  content: string | readonly TextPart[];
  /** Who speaks, for templates that print it. */
  name?: string;
}

/** How tokens are chosen and when to stop. */
export interface GenerateOptions {
  /** Longest answer in tokens. @default as many as the context allows */
  maxTokens?: number | undefined;
  /** 0 to 2; 0 takes the likeliest token, which makes answers repeatable. @default 0 */
  temperature?: number | undefined;
  /** Choose among this many likeliest tokens; 0: all. @default 0 */
  topK?: number | undefined;
  /** Choose among the likeliest tokens that sum to this probability: over 0, to 1. @default 1 */
  topP?: number | undefined;
  /** Leave out tokens less likely than this share of the likeliest: 0 to 1. @default 0 */
  minP?: number | undefined;
  /** 0 to 2^53 - 1; the same seed gives the same answer. @default random */
  seed?: number | undefined;
  /**
   * Up to 16 texts that end the answer, wherever they fall on token boundaries; they are not part of it.
   */
  stop?: string | readonly string[] | undefined;
  /** Do not stop at the model's own end tokens. @default false */
  ignoreEos?: boolean | undefined;
  /** Caches are shared only between requests with the same salt. @default '' */
  cacheSalt?: string | undefined;
  /** Aborting cancels within a step; the iterator and `result` then reject with CANCELLED. */
  signal?: AbortSignal | undefined;
  /** Called while a long prompt is computed. */
  onPrefill?: ((progress: PrefillProgress) => void) | undefined;
}

/** How much of a prompt is computed. */
export interface PrefillProgress {
  doneTokens: number;
  totalTokens: number;
}

export interface ChatOptions extends GenerateOptions {
  /**
   * System prompt of a conversation that is continued with a string; only its first turn takes one.
   */
  system?: string | undefined;
}

/** What a request cost and what the cache saved it. */
export interface Usage {
  promptTokens: number;
  /** Of the prompt, taken from a cache: ownTokens + sharedTokens + restoredTokens. */
  cachedTokens: number;
  /** Of the prompt, computed now. */
  computedTokens: number;
  generatedTokens: number;
  /** Cached tokens from this agent's own memory. */
  ownTokens: number;
  /** Cached tokens that another agent's blocks held. */
  sharedTokens: number;
  /** Cached tokens read back from disk. */
  restoredTokens: number;
  /** Why nothing, or less than hoped, was cached; empty when there is nothing to say. */
  missReason: string;
  /** From the request to its place in the batch. */
  queuedMs: number;
  /** From the request to its first token. */
  firstTokenMs: number;
  totalMs: number;
}

/**
 * `stop`: an end token or stop text; `length`: maxTokens or the context is used up; `cancelled`:
 * `Generation.cancel()` or leaving its loop.
 */
export type FinishReason = 'stop' | 'length' | 'cancelled';

/** The next piece of an answer. */
export interface TextChunk {
  type: 'text';
  /** Whole characters only; never part of a stop text. */
  text: string;
  /** Ids that arrived since the chunk before. */
  tokens: number[];
}

/** What a generation yields. More kinds may come: switch on `type`. */
export type GenerationChunk = TextChunk;

/** A complete answer. */
export interface GenerationResult {
  text: string;
  /** Ids of the answer, without the end token. */
  tokens: number[];
  finishReason: FinishReason;
  /** The stop text that ended it. */
  stopText: string | undefined;
  usage: Usage;
  /** Empty for an anonymous completion. */
  agentId: string;
}

/**
 * An answer on its way. It runs whether or not it is read; reading starts where the last read ended.
 * Leaving a `for await` loop early cancels it.
 */
export interface Generation extends AsyncIterable<GenerationChunk> {
  readonly agentId: string;
  /** Resolves when the answer is complete; never an unhandled rejection. */
  readonly result: Promise<GenerationResult>;
  /** The whole text, once complete. */
  text(): Promise<string>;
  /** Stops it within a step; `result` then resolves with what there is. */
  cancel(): void;
}

/** Where an agent's cache is: in a request, in memory, on disk only. */
export type AgentTier = NativeAgentInfo['tier'];

/** An agent as `engine.agents()` lists it. */
export type AgentInfo = NativeAgentInfo;

/** Who computes, and with which instructions. */
export type ExecutorInfo = NativeExecutorInfo;

/** Figures of a running engine; `pool` has one entry for each layer group. */
export interface EngineStats extends NativeStats {
  /** Generations started and not yet finished, waiting ones included. */
  liveGenerations: number;
}

/** Facts of a loaded model, fixed for the engine's life. */
export interface EngineInfo {
  /** As it was asked for. */
  model: string;
  /** The file or folder it was loaded from. */
  path: string;
  /** As the model calls itself. */
  name: string;
  family: string;
  /** Tells two models of one shape apart; part of every cache file's path. */
  fingerprint: string;
  layers: number;
  vocabSize: number;
  /** Longest conversation, after options and pool. */
  contextTokens: number;
  eosIds: readonly number[];
  kvBits: KvBits;
  executor: ExecutorInfo;
  /** Undefined: agents are not kept on disk. */
  cacheDir: string | undefined;
}

/** A conversation as the engine keeps it. */
export interface TranscriptView {
  messages: ChatMessage[];
  /** Last prompt and answer as the model read them. */
  text: string;
  tokens: number[];
}

/** Options of `Engine.score`. */
export interface ScoreOptions {
  /** Caches are shared only between requests with the same salt. @default '' */
  cacheSalt?: string | undefined;
  signal?: AbortSignal | undefined;
}

/** How likely the model finds a text. */
export interface ScoreResult {
  tokens: number[];
  /** Natural logarithms; entry i belongs to token i + 1. */
  logprobs: Float32Array;
  perplexity: number;
}

/** The model's own tokenizer. */
export interface Tokenizer {
  readonly vocabSize: number;
  /** Markers such as `<|im_end|>` become their tokens. `bos`: begin as the model asks. @default false */
  encode(text: string, options?: { bos?: boolean }): number[];
  /** `skipSpecial`: leave markers out. @default true */
  decode(tokens: readonly number[], options?: { skipSpecial?: boolean }): string;
}
