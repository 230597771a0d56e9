/** The package's face. Loads no server code, and the native addon only when an engine is loaded. */

export type { Agent } from './engine/agent.js';
export { checkAgentId } from './engine/agent-id.js';
export { Engine } from './engine/engine.js';
export type { Lease } from './engine/leases.js';
export { ModelRegistry } from './engine/model-registry.js';
export type { ModelChange, ModelEvent, ModelState, ModelStatus } from './engine/model-status.js';
export type { AvailableModel } from './engine/models/inventory.js';
export type { KnownModel } from './engine/models/known-models.js';
export { defaultModel, knownModels } from './engine/models/known-models.js';
export type { ModelRegistryOptions, PrepareOptions, RegistryEngine } from './engine/registry-options.js';
export type { CountOptions } from './engine/turns.js';
export type {
  AgentInfo,
  AgentTier,
  ChatMessage,
  ChatOptions,
  ChatRole,
  ClearCachesOptions,
  EngineInfo,
  EngineOptions,
  EngineStats,
  ExecutorInfo,
  FinishReason,
  GenerateOptions,
  Generation,
  GenerationChunk,
  GenerationResult,
  JsonSchema,
  LoadProgress,
  PrefillProgress,
  PromptUse,
  ReasoningChunk,
  ReasoningOptions,
  ResponseFormat,
  ScoreOptions,
  ScoreResult,
  TextChunk,
  TextPart,
  Tokenizer,
  TokenLogprob,
  ToolCall,
  ToolCallChunk,
  ToolChoice,
  ToolDefinition,
  ToolFormat,
  TranscriptView,
  Usage,
} from './engine/types.js';
export type { StompErrorCode, StompErrorFields, StompErrorOptions } from './errors.js';
export {
  AgentNotFoundError,
  CacheCorruptionError,
  CachePersistenceError,
  InvalidRequestError,
  ModelSwapError,
  PoolExhaustedError,
  StompError,
} from './errors.js';
