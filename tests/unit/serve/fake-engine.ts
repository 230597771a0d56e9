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
  Usage,
} from '../../../ts/engine/types.js';
import { StompError } from '../../../ts/errors.js';
import type { ServedEngine } from '../../../ts/serve/service.js';

export interface Call {
  readonly agentId: string;
  readonly input: string | readonly ChatMessage[] | readonly number[];
  readonly options: ChatOptions;
}

export interface Script {
  /** Texts of the tokens. */
  readonly tokens?: readonly string[];
  /** Before each token. */
  readonly tokenMs?: number;
  /** Fails instead of the token with this index. */
  readonly failAt?: number;
  readonly failure?: StompError;
  /** Thrown by the call itself. */
  readonly refusal?: StompError;
  readonly usage?: Partial<Usage>;
  readonly finishReason?: GenerationResult['finishReason'];
}

const executor = { name: 'cpu', device: 'CPU', isa: 'scalar', numerics: 'cpu-fast-1', threads: 1 } as const;

export class FakeEngine implements ServedEngine {
  readonly calls: Call[] = [];
  readonly known = new Map<string, AgentInfo>();
  script: Script = {};
  cancelled = 0;
  statistics: Partial<EngineStats> = {};

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

  agent(id: string): Agent {
    checkAgentId(id);
    const begin = (input: Call['input'], options: ChatOptions = {}): Generation => {
      this.calls.push({ agentId: id, input, options });
      if (this.script.refusal) throw this.script.refusal;
      this.known.set(id, agentInfo(id));
      return this.#generation(id, options);
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
      save: async () => this.#existing(id),
      evict: () => this.evict(id),
      remove: () => this.remove(id),
      info: async () => this.known.get(id),
      transcript: async () => ({ messages: [], text: '', tokens: [] }),
    };
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

  #generation(agentId: string, options: ChatOptions): Generation {
    const {
      tokens = ['Hello', ' there', '!'],
      tokenMs = 0,
      failAt,
      failure,
      finishReason = 'stop',
    } = this.script;
    const usage = { ...zeroUsage, promptTokens: 7, generatedTokens: tokens.length, ...this.script.usage };
    const texts: string[] = [];
    let settle!: { resolve(result: GenerationResult): void; reject(error: unknown): void };
    const result = new Promise<GenerationResult>((resolve, reject) => (settle = { resolve, reject }));
    result.catch(() => undefined);
    const run = async function* (engine: FakeEngine): AsyncGenerator<GenerationChunk, void> {
      try {
        for (const [index, text] of tokens.entries()) {
          await wait(tokenMs, options.signal);
          if (index === failAt) throw failure;
          texts.push(text);
          yield { type: 'text', text, tokens: [index] };
        }
        settle.resolve({
          text: texts.join(''),
          reasoning: '',
          toolCalls: [],
          logprobs: [],
          tokens: tokens.map((_, index) => index),
          finishReason,
          stopText: undefined,
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
