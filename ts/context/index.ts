/** Agents, their sessions, what each works on, and what they write down about it. */
export {
  AgentContextManager,
  type AgentContextOptions,
  defaultAgent,
} from './agent-context-manager.js';
export {
  type Entry,
  type EntryPriority,
  type EntryStatus,
  entryPriorities,
  entryStatuses,
  type Meta,
  type MetaValue,
} from './entry.js';
export { ConflictError } from './errors.js';
export {
  type ContextFigure,
  ContextFigures,
  type ContextObserver,
  type ContextTask,
} from './figures.js';
export type { RetryOptions } from './retry.js';
export { contextTools } from './tools/context-tools.js';
export type {
  AgentSession,
  ContextEvent,
  ContextEventType,
  CurrentProject,
  EventOptions,
  Project,
  ProjectChanges,
  ProjectOptions,
  SessionListOptions,
  SetProjectOptions,
  StartOptions,
} from './types.js';
