/**
 * One model in memory and the agents that share it. Main thread only; the work happens on the core's
 * own thread, so nothing here blocks the event loop.
 */
import { StompError } from '../errors.js';
import type { Agent } from './agent.js';
import type {
  AgentInfo,
  EngineInfo,
  EngineOptions,
  EngineStats,
  Generation,
  GenerateOptions,
  ScoreResult,
  Tokenizer,
} from './types.js';

const pending = (): never => {
  throw new StompError('ENGINE_UNAVAILABLE', 'The engine is being written.');
};

export class Engine {
  readonly info!: EngineInfo;
  readonly tokenizer!: Tokenizer;

  private constructor() {}

  /**
   * Loads a model: `smollm2-135m`, the path of a .gguf file or of a model folder, or a hub id
   * `owner/name`. Brings it first if it is not on this machine.
   * @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD, MODEL_NOT_FOUND, MODEL_INVALID,
   *   MODEL_UNSUPPORTED, MODEL_DOWNLOAD, EXECUTOR_UNAVAILABLE, ENGINE_UNAVAILABLE, CACHE_IN_USE, CANCELLED.
   */
  static async load(model: string, options: EngineOptions = {}): Promise<Engine> {
    return pending();
  }

  /**
   * The agent of this name; it comes to be with its first turn.
   * @throws StompError INVALID_REQUEST when the id is not `[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}`.
   */
  agent(id: string): Agent {
    return pending();
  }

  /** Agents in memory and on disk. */
  agents(): Promise<AgentInfo[]> {
    return pending();
  }

  stats(): Promise<EngineStats> {
    return pending();
  }

  /** An answer to a raw prompt that belongs to no agent; its cache is shared but not kept. */
  complete(prompt: string | readonly number[], options: GenerateOptions = {}): Generation {
    return pending();
  }

  /** How likely the model finds a text. At least two tokens. */
  score(text: string, options: { signal?: AbortSignal; cacheSalt?: string } = {}): Promise<ScoreResult> {
    return pending();
  }

  /** Cancels the agent's turns and deletes it from memory and disk. @throws AGENT_NOT_FOUND */
  remove(id: string): Promise<void> {
    return pending();
  }

  /** Moves an agent to disk, after its turns. @throws AGENT_NOT_FOUND */
  evict(id: string): Promise<void> {
    return pending();
  }

  /**
   * Cancels what runs, saves every agent, gives all memory back. May be called again.
   * `process.exit()` and signals do not wait for it: a program that holds an engine calls it from its own
   * handlers (`stomp-serve` does).
   */
  close(): Promise<void> {
    return pending();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
