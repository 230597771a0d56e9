/**
 * The handle of one agent. Cheap, and good for as long as its engine is open. Turns of one agent run one
 * after the other, in the order of the calls.
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
   * @throws StompError INVALID_REQUEST at once for a bad option or message. Everything later
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
  /** Resolves when all finished turns are on disk. @throws CACHE_PERSISTENCE, AGENT_NOT_FOUND */
  save(): Promise<void>;
  evict(): Promise<void>;
  remove(): Promise<void>;
  /** Figures of this agent, or undefined while it does not exist. */
  info(): Promise<AgentInfo | undefined>;
  /** The conversation so far; empty for a new agent. */
  transcript(): Promise<TranscriptView>;
}
