/** Agents, their sessions, what each works on, and what they write down about it. */
export { AgentContextManager } from './agent-context-manager.js';
export type { Finding } from './check.js';
export type { AgentContextOptions } from './context-parts.js';
export type { DoctorOptions, DoctorProgress, DoctorReport, FailedCheck } from './doctor.js';
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
export type { LeftTable } from './left-behind.js';
export type { AuditedFile, AuditProblem, AuditReport } from './log-audit.js';
export type { AppendOptions, Caller, QueryOptions, RecentOptions } from './log-types.js';
export type { StateDrift } from './mirror.js';
export { moveContext } from './move.js';
export type { EntryInput } from './new-entry.js';
export type { AppendResult, LogOutcome } from './progress-log.js';
export type {
  EntryFilter,
  EntryPage,
  EntryQuery,
  OneOrMore,
  Paging,
  QueryTime,
  TextMode,
} from './query-types.js';
export type { RetryOptions } from './retry.js';
export { contextTools } from './tools/context-tools.js';
export type { TableContent, TransferOptions, TransferProgress, TransferResult } from './transfer.js';
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
export { contextEventTypes, defaultAgent } from './types.js';
