/**
 * The handle of one agent. Cheap, and good for as long as its engine is open. Turns of one agent run one
 * after the other, in the order of the calls. Main thread only.
 */
import type {
  AgentInfo,
  ChatMessage,
  ChatOptions,
  GenerateOptions,
  Generation,
  TranscriptView,
} from './types.js';

export interface Agent {
  readonly id: string;
  /**
   * One turn. A string continues this agent's own conversation; an array is a whole conversation, as
   * clients of chat APIs send it. What a cache already holds of it is not computed again.
   * @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD at once for a bad option or message. Everything later
   *   (CONTEXT_OVERFLOW, QUEUE_FULL, POOL_EXHAUSTED, CANCELLED, …) comes from the iterator and from `result`.
   */
  chat(messages: string | readonly ChatMessage[], options?: ChatOptions): Generation;
  /** Continues a raw prompt, given whole, without the chat template. Throws as `chat` does. */
  generate(prompt: string | readonly number[], options?: GenerateOptions): Generation;
  /**
   * A second agent that knows all this one knows; no cache is copied.
   * @throws StompError AGENT_NOT_FOUND before this agent's first turn, AGENT_EXISTS.
   */
  fork(newId: string): Promise<Agent>;
  /**
   * Brings this agent's cache from disk into memory, after its turns, so that the next one need not wait for it.
   * @throws StompError AGENT_NOT_FOUND, INCOMPATIBLE_CACHE, CACHE_CORRUPT, POOL_EXHAUSTED.
   */
  load(): Promise<void>;
  /** Resolves when all turns called for so far are on disk. @throws CACHE_PERSISTENCE, AGENT_NOT_FOUND */
  save(): Promise<void>;
  /** Moves this agent to disk, after its turns. @throws AGENT_NOT_FOUND, CACHE_PERSISTENCE */
  evict(): Promise<void>;
  /** Cancels this agent's turns and deletes it from memory and disk. @throws AGENT_NOT_FOUND */
  remove(): Promise<void>;
  /** Figures of this agent, or undefined while it does not exist. */
  info(): Promise<AgentInfo | undefined>;
  /** The conversation up to the last finished turn; empty for a new agent. */
  transcript(): Promise<TranscriptView>;
}

/** What an engine does for one of its agents. */
export interface AgentActions extends Omit<Agent, 'id' | 'chat' | 'generate'> {
  chat(messages: string | readonly ChatMessage[], options: ChatOptions, caller: Error): Generation;
  generate(prompt: string | readonly number[], options: GenerateOptions, caller: Error): Generation;
}

export class AgentHandle implements Agent {
  readonly id: string;
  readonly #actions: AgentActions;

  constructor(id: string, actions: AgentActions) {
    this.id = id;
    this.#actions = actions;
  }

  chat(messages: string | readonly ChatMessage[], options: ChatOptions = {}): Generation {
    return this.#actions.chat(messages, options, new Error());
  }

  generate(prompt: string | readonly number[], options: GenerateOptions = {}): Generation {
    return this.#actions.generate(prompt, options, new Error());
  }

  fork(newId: string): Promise<Agent> {
    return this.#actions.fork(newId);
  }

  load(): Promise<void> {
    return this.#actions.load();
  }

  save(): Promise<void> {
    return this.#actions.save();
  }

  evict(): Promise<void> {
    return this.#actions.evict();
  }

  remove(): Promise<void> {
    return this.#actions.remove();
  }

  info(): Promise<AgentInfo | undefined> {
    return this.#actions.info();
  }

  transcript(): Promise<TranscriptView> {
    return this.#actions.transcript();
  }
}
