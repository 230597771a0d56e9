/** The clutch: runs whose effects wait at gates that a person holds. */
export type { AuditFault, AuditReport } from './audit/verify.js';
export { verifyAudit } from './audit/verify.js';
export type { Clutch, ClutchOptions, RunFilter, RunInput } from './clutch.js';
export type {
  AssistantMessage,
  Message,
  ToolCall,
  ToolMessage,
  ToolResult,
  UserMessage,
} from './conversation.js';
export type { ClutchEvent, EmittedEvent, EventBodies, EventType } from './events/event.js';
export { EventBus, type EventBusOptions, type EventListener } from './events/event-bus.js';
export { type ClutchState, emptyState, reduce, type SystemSample } from './events/state.js';
export type { StateStore } from './events/state-store.js';
export { type Gate, type GateKind, type GateStatus, gateKinds, gateStatuses } from './gates/gate.js';
export type { Decision, Gates } from './gates/gates.js';
export type { Rule } from './gates/rules.js';
export { openClutch } from './open-clutch.js';
export {
  openProvider,
  type ProviderKind,
  type ProviderOptions,
  providerKinds,
} from './providers/open-provider.js';
export type {
  Provider,
  ProviderAnswer,
  ProviderEvent,
  ProviderRequest,
  ProviderUsage,
} from './providers/provider.js';
export {
  type GatePolicy,
  gatePolicies,
  type Run,
  type RunStatus,
  runStatuses,
  type Ticket,
  type TicketStatus,
} from './runs/run.js';
export { clutchMigrations } from './store/schema.js';
export type { FetchOptions } from './tools/fetch.js';
export type { McpServer } from './tools/mcp.js';
export type { ShellOptions } from './tools/shell.js';
export type {
  ApprovalWire,
  CallWire,
  RuleWire,
  RunDetailWire,
  RunWire,
  TicketWire,
  UsageWire,
} from './wire.js';
