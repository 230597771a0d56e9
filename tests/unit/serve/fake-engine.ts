/** A scripted engine for tests of the HTTP layer: answers are given, tokens come one by one. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Agent } from '../../../ts/engine/agent.js';
import { checkAgentId } from '../../../ts/engine/agent-id.js';
import type {
  AgentInfo,
  ChatMessage,
  ChatOptions,
  EngineInfo,
  EngineStats,
  Generation,
  GenerationChunk,
  GenerationResult,
  Tokenizer,
  ToolCall,
  Usage,
} from '../../../ts/engine/types.js';
import { StompError } from '../../../ts/errors.js';
import type { ServedEngine } from '../../../ts/serve/service.js';

export interface Call {
  /** Empty: of nobody. */
  readonly agentId: string;
  readonly input: string | readonly ChatMessage[] | readonly number[];
  readonly options: ChatOptions;
}

export interface Script {
  /** Texts of the tokens. */
  readonly tokens?: readonly string[];
  /** In the place of `tokens`: the chunks as they come. */
  readonly pieces?: readonly GenerationChunk[];
  /** Before each token. */
  readonly tokenMs?: number;
  /** Fails instead of the token with this index. */
  readonly failAt?: number;
  readonly failure?: StompError;
  /** Thrown by the call itself. */
  readonly refusal?: StompError;
  readonly usage?: Partial<Usage>;
  readonly finishReason?: GenerationResult['finishReason'];
  readonly stopText?: string;
}

const executor = { name: 'cpu', device: 'CPU', isa: 'scalar', numerics: 'cpu-fast-1', threads: 1 } as const;

export class FakeEngine implements ServedEngine {
  readonly calls: Call[] = [];
  readonly known = new Map<string, AgentInfo>();
  script: Script = {};
  /** Taken one a call before `script`. */
  readonly scripts: Script[] = [];
  cancelled = 0;
  statistics: Partial<EngineStats> = {};
  stalledMs = 0;

  readonly info: EngineInfo = {
    model: 'tiny',
    path: '/models/tiny.gguf',
    name: 'Tiny',
    family: 'llama',
    fingerprint: '0123456789abcdef',
    layers: 2,
    vocabSize: 256,
    contextTokens: 512,
    eosIds: [2],
    toolFormat: 'hermes',
    kvBits: 16,
    executor,
    cacheDir: undefined,
  };

  /** Every byte is a token. */
  readonly tokenizer: Tokenizer = {
    vocabSize: 256,
    encode: (text) => [...Buffer.from(text)],
    decode: (tokens) => Buffer.from(tokens).toString(),
    bytes: (token) => Uint8Array.of(token),
  };

  chat(messages: Call['input'], options: ChatOptions = {}): Generation {
    return this.#begin('', messages, options);
  }

  complete(prompt: Call['input'], options: ChatOptions = {}): Generation {
    return this.#begin('', prompt, options);
  }

  /** A token for every character of the whole request. */
  async countTokens(messages: readonly ChatMessage[], options: ChatOptions = {}): Promise<number> {
    return JSON.stringify([messages, options]).length;
  }

  agent(id: string): Agent {
    checkAgentId(id);
    const begin = (input: Call['input'], options: ChatOptions = {}): Generation => {
      const generation = this.#begin(id, input, options);
      this.known.set(id, agentInfo(id));
      return generation;
    };
    return {
      id,
      chat: begin,
      generate: begin,
      fork: async (newId) => {
        this.#existing(id);
        if (this.known.has(newId)) throw new StompError('AGENT_EXISTS', `${newId} exists.`);
        this.known.set(newId, agentInfo(newId));
        return this.agent(newId);
      },
      load: async () => {
        this.#existing(id);
        this.known.set(id, agentInfo(id));
      },
      save: async () => this.#existing(id),
      evict: () => this.evict(id),
      remove: () => this.remove(id),
      info: async () => this.known.get(id),
      transcript: async () => ({ messages: [...(this.conversations.get(id) ?? [])], text: '', tokens: [] }),
    };
  }

  /** Conversations that agents were made with. */
  readonly openings = new Map<string, readonly ChatMessage[]>();

  async create(id: string, messages: readonly ChatMessage[] = []): Promise<Agent> {
    if (this.known.has(id)) throw new StompError('AGENT_EXISTS', `${id} exists.`);
    this.known.set(id, agentInfo(id));
    this.openings.set(id, messages);
    return this.agent(id);
  }

  /** What agents have read and said. */
  readonly conversations = new Map<string, readonly ChatMessage[]>();

  async agentIds(prefix = ''): Promise<string[]> {
    return [...this.known.keys(), ...this.conversations.keys()].filter((id) => id.startsWith(prefix));
  }

  async agents(): Promise<AgentInfo[]> {
    return [...this.known.values()];
  }

  async remove(id: string): Promise<void> {
    this.#existing(id);
    this.known.delete(id);
  }

  async evict(id: string): Promise<void> {
    this.#existing(id);
    this.known.set(id, { ...agentInfo(id), tier: 'warm' });
  }

  async stats(): Promise<EngineStats> {
    return {
      executor,
      memory: { weightsBytes: 1000, poolBytes: 2000, scratchBytes: 300 },
      blockTokens: 64,
      pool: [{ capacity: 10, free: 4, cached: 2, blockBytes: 100 }],
      cache: { lookups: 0, lookupTokens: 0, ownHitTokens: 0, sharedHitTokens: 0, indexedBlocks: 0 },
      active: 1,
      waiting: 0,
      agentsHot: this.known.size,
      steps: 0,
      prefillTokens: 0,
      decodeTokens: 0,
      evictionsHot: 0,
      demotions: 0,
      diskBytes: 0,
      diskSharedBytes: 0,
      draftedTokens: 0,
      acceptedTokens: 0,
      preemptions: 0,
      saves: 0,
      saveFailures: 0,
      saveSeconds: 0,
      stepSeconds: 0,
      lastSaveError: '',
      liveGenerations: 0,
      ...this.statistics,
    };
  }

  #existing(id: string): void {
    if (!this.known.has(id)) throw new StompError('AGENT_NOT_FOUND', `There is no agent ${id}.`);
  }

  #begin(agentId: string, input: Call['input'], options: ChatOptions): Generation {
    this.calls.push({ agentId, input, options });
    const script = this.scripts.shift() ?? this.script;
    if (script.refusal) throw script.refusal;
    return this.#generation(agentId, options, script);
  }

  #generation(agentId: string, options: ChatOptions, script: Script): Generation {
    const { tokens = ['Hello', ' there', '!'], tokenMs = 0, failAt, failure } = script;
    const pieces =
      script.pieces ?? tokens.map((text, index) => ({ type: 'text' as const, text, tokens: [index] }));
    const ids = pieces.flatMap((piece) => piece.tokens);
    const usage = { ...zeroUsage, promptTokens: 7, generatedTokens: ids.length, ...script.usage };
    let settle!: { resolve(result: GenerationResult): void; reject(error: unknown): void };
    const result = new Promise<GenerationResult>((resolve, reject) => (settle = { resolve, reject }));
    result.catch(() => undefined);
    const run = async function* (engine: FakeEngine): AsyncGenerator<GenerationChunk, void> {
      try {
        for (const [index, piece] of pieces.entries()) {
          await wait(tokenMs, options.signal);
          if (index === failAt) throw failure;
          yield piece;
        }
        settle.resolve({
          ...gathered(pieces, script),
          tokens: ids,
          stopText: script.stopText,
          usage: { ...usage, computedTokens: usage.promptTokens - usage.cachedTokens },
          agentId,
        });
      } catch (error) {
        if (options.signal?.aborted) engine.cancelled++;
        settle.reject(error);
        throw error;
      }
    };
    const chunks = run(this);
    return {
      agentId,
      started: Promise.resolve({ promptTokens: usage.promptTokens, cachedTokens: usage.cachedTokens }),
      result,
      text: async () => (await result).text,
      cancel: () => undefined,
      [Symbol.asyncIterator]: () => chunks,
    };
  }
}

/** What the chunks of an answer come to. */
function gathered(
  pieces: readonly GenerationChunk[],
  script: Script,
): Pick<GenerationResult, 'text' | 'reasoning' | 'toolCalls' | 'logprobs' | 'finishReason'> {
  const toolCalls: ToolCall[] = [];
  const texts = { text: '', reasoning: '' };
  for (const piece of pieces) {
    if (piece.type !== 'tool_call') texts[piece.type] += piece.text;
    else {
      toolCalls[piece.index] ??= { id: piece.id ?? '', name: piece.name ?? '', arguments: '' };
      (toolCalls[piece.index] as ToolCall).arguments += piece.arguments;
    }
  }
  const finishReason = script.finishReason ?? (toolCalls.length > 0 ? 'tool_calls' : 'stop');
  return { ...texts, toolCalls, finishReason, logprobs: pieces.flatMap((piece) => piece.logprobs ?? []) };
}

async function wait(ms: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await delay(ms, undefined, signal ? { signal } : {});
  } catch {
    throw new StompError('CANCELLED', 'The request was cancelled.');
  }
}

const zeroUsage: Usage = {
  promptTokens: 0,
  cachedTokens: 0,
  computedTokens: 0,
  generatedTokens: 0,
  draftedTokens: 0,
  acceptedTokens: 0,
  ownTokens: 0,
  sharedTokens: 0,
  restoredTokens: 0,
  missReason: '',
  queuedMs: 1,
  firstTokenMs: 20,
  totalMs: 30,
};

function agentInfo(id: string): AgentInfo {
  return {
    id,
    tier: 'hot',
    tokens: 10,
    blocks: 1,
    poolBytes: 100,
    diskBytes: 0,
    saved: false,
    lastUsedMs: 1_700_000_000_000,
    requests: 1,
    promptTokens: 8,
    cachedTokens: 4,
  };
}
