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
export type KvBits = 16 | 8 | 4;

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
  /**
   * Disk for the caches of all models' agents in `cacheDir`; 0: no limit. Beyond it the agents used longest ago go
   * cold: their transcripts stay, their next request computes its tokens again.
   * @default 32768
   */
  diskBudgetMb?: number | undefined;
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
   * Bits of a cached key or value, in memory and on disk: 8 halves the cache and what a long conversation costs per
   * token, for hardly any precision; 4 takes little more than a quarter, for some. @default 16
   */
  kvBits?: KvBits | undefined;
  /**
   * `auto`: where an answer repeats what its conversation holds, several of its tokens are computed in one step as
   * long as that pays; the answer is the same. @default 'auto'
   */
  speculation?: 'auto' | 'off' | undefined;
  /**
   * A step that takes longer is reported as one that hangs (ENGINE_STALLED, by `onWarning`): 0 to 86400000; 0: none
   * is. @default 120000
   */
  watchdogMs?: number | undefined;
  /** How long an idle engine waits for more requests before it begins: 0 to 1000. @default 0 */
  batchWindowMs?: number | undefined;
  /**
   * For tests of programs that use an engine: what to answer a prompt with, called once for each generation with the
   * prompt's text, markers included. The text's tokens, markers among them, go through the model one a step in the
   * place of those it would choose, and end the answer. Where a required form forbids one, the model goes on by
   * itself. Undefined leaves the answer to the model.
   */
  script?: ((prompt: string) => string | undefined) | undefined;
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

/** A JSON Schema, draft 2020-12, as an object. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** A function that the model may ask for. */
export interface ToolDefinition {
  /** `[A-Za-z0-9_.-]`, 1 to 128 characters; unique in a request. */
  name: string;
  description?: string | undefined;
  /** Schema of the arguments, an object. @default any object */
  parameters?: JsonSchema | undefined;
  /** Hold the arguments to `parameters` even where the model chose to call. @default false */
  strict?: boolean | undefined;
}

/**
 * `auto`: the model decides; `none`: tools are shown, calls are not made; `required`: at least one call;
 * `{ name }`: a call of this one.
 */
export type ToolChoice = 'auto' | 'none' | 'required' | { readonly name: string };

/** A call that the model asked for. */
export interface ToolCall {
  /** Names the call in the message that answers it. */
  id: string;
  name: string;
  /** JSON text of the arguments, as the model wrote it. */
  arguments: string;
}

/** What an answer must look like: any JSON object, or JSON that a schema accepts. */
export type ResponseFormat = { type: 'json_object' } | { type: 'json_schema'; schema: JsonSchema };

/** One entry of a conversation. */
export interface ChatMessage {
  role: ChatRole;
  content: string | readonly TextPart[];
  /** Who speaks, for templates that print it; of a `tool` message, the tool. */
  name?: string;
  /** Of an `assistant` message: the calls it made, after its content. */
  toolCalls?: readonly ToolCall[];
  /** Of an `assistant` message: what it thought before it spoke. */
  reasoning?: string;
  /** Of a `tool` message: the call that it answers. */
  toolCallId?: string;
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
  /** Divides the logits of tokens that the prompt or the answer holds: 0.1 to 10; 1: off. @default 1 */
  repetitionPenalty?: number | undefined;
  /** Taken off the logits of tokens that the answer holds: -2 to 2. @default 0 */
  presencePenalty?: number | undefined;
  /** Taken off the logits of a token for each time that the answer holds it: -2 to 2. @default 0 */
  frequencyPenalty?: number | undefined;
  /** Added to the logits of tokens, by id: -100 to 100; -100 and less rules a token out. */
  logitBias?: Readonly<Record<number, number>> | undefined;
  /** Log-probabilities of the answer's tokens, with this many of the likeliest beside each: 0 to 20. @default none */
  topLogprobs?: number | undefined;
  /** 0 to 2^53 - 1; the same seed gives the same answer. @default random */
  seed?: number | undefined;
  /**
   * Up to 16 texts that end the answer, wherever they fall on token boundaries; they are not part of it.
   */
  stop?: string | readonly string[] | undefined;
  /** Do not stop at the model's own end tokens. @default false */
  ignoreEos?: boolean | undefined;
  /**
   * Whose turn it is where not all can run. `high` takes the place of others if need be; `low` ones run too, only
   * later. @default 'normal'
   */
  priority?: 'high' | 'normal' | 'low' | undefined;
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

/** How a model that thinks before it speaks is to do so; others do not think, whatever is asked. */
export interface ReasoningOptions {
  /** @default as the model's template has it */
  enabled?: boolean | undefined;
  /** Thoughts end after this many tokens, at least 1. @default no limit */
  budgetTokens?: number | undefined;
}

export interface ChatOptions extends GenerateOptions {
  /** Functions that the model may ask for, at most 512. */
  tools?: readonly ToolDefinition[] | undefined;
  /** @default 'auto' */
  toolChoice?: ToolChoice | undefined;
  /** Whether an answer may hold more than one call. @default true */
  parallelToolCalls?: boolean | undefined;
  /** Enforced token by token. @default free text */
  responseFormat?: ResponseFormat | undefined;
  reasoning?: ReasoningOptions | undefined;
  /**
   * System prompt of a conversation that is continued with a string; only its first turn takes one.
   */
  system?: string | undefined;
}

/** What is known of a prompt before its answer begins. */
export interface PromptUse {
  promptTokens: number;
  /** Of those, found in a cache so far; `Usage.cachedTokens` has the last word. */
  cachedTokens: number;
}

/** What a request cost and what the cache saved it. */
export interface Usage {
  promptTokens: number;
  /** Of the prompt, taken from a cache: ownTokens + sharedTokens + restoredTokens. */
  cachedTokens: number;
  /** Of the prompt, computed now. */
  computedTokens: number;
  generatedTokens: number;
  /** Computed ahead on speculation, see `EngineOptions.speculation`. */
  draftedTokens: number;
  /** Of those, what the answer then was. */
  acceptedTokens: number;
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
 * `stop`: an end token or stop text; `tool_calls`: the same, and the answer holds calls; `length`: maxTokens
 * or the context is used up; `cancelled`: `Generation.cancel()` or leaving its loop.
 */
export type FinishReason = 'stop' | 'tool_calls' | 'length' | 'cancelled';

/** How likely the model found a token that it chose, before temperature and filters. Natural logarithms. */
export interface TokenLogprob {
  token: number;
  logprob: number;
  /** The likeliest ones, likeliest first; as many as were asked for. */
  top: readonly { token: number; logprob: number }[];
}

interface Chunk {
  /** Ids that arrived since the chunk before. Those that show nothing may come last, in a chunk without content. */
  tokens: number[];
  /** One for each of `tokens`, when they were asked for. */
  logprobs?: TokenLogprob[];
}

/** The next piece of an answer. */
export interface TextChunk extends Chunk {
  type: 'text';
  /** Whole characters only; never part of a stop text. */
  text: string;
}

/** The next piece of what the model thinks before it speaks. */
export interface ReasoningChunk extends Chunk {
  type: 'reasoning';
  text: string;
}

/** A call begins, or its arguments go on. */
export interface ToolCallChunk extends Chunk {
  type: 'tool_call';
  /** Of the call in this answer, from 0. */
  index: number;
  /** With the first chunk of a call. */
  id?: string;
  /** With the first chunk of a call. */
  name?: string;
  /** The next piece of the arguments' JSON text; may be empty. */
  arguments: string;
}

/** What a generation yields. More kinds may come: switch on `type`. */
export type GenerationChunk = TextChunk | ReasoningChunk | ToolCallChunk;

/** A complete answer. */
export interface GenerationResult {
  /** Without thoughts and calls. */
  text: string;
  /** Empty when the model did not think. */
  reasoning: string;
  toolCalls: ToolCall[];
  /** One for each token, when they were asked for. */
  logprobs: TokenLogprob[];
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
  /** Resolves when the prompt has its place in the batch; never an unhandled rejection. */
  readonly started: Promise<PromptUse>;
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

/**
 * How calls of tools are written: between tags as Hermes and Qwen have them, which serves for models that know
 * none, too; in the bare JSON of Llama or Gemma; in those of Mistral; in the channels of GPT-OSS (`harmony`); with
 * each argument in tags of its own as Qwen3-Coder and GLM have them; between the markers of DeepSeek (`deepseek-r1`:
 * with fenced JSON) or Kimi.
 */
export type ToolFormat =
  | 'hermes'
  | 'llama'
  | 'mistral'
  | 'gemma'
  | 'harmony'
  | 'qwen-coder'
  | 'glm'
  | 'deepseek'
  | 'deepseek-r1'
  | 'kimi';

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
  /** How the model writes calls of tools; undefined where it has no chat template. */
  toolFormat: ToolFormat | undefined;
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

/** Options of `Engine.clearCaches`. */
export interface ClearCachesOptions {
  /** Delete agents, with their files and conversations. @default false */
  disk?: boolean | undefined;
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
  /** UTF-8 of a token, possibly part of a character; empty for ids that do not exist. */
  bytes(token: number): Uint8Array;
}
