/** The stomp guard: leases, fencing tokens and guards that keep agents from overwriting each other. */
export type { JsonValue } from './canonical-json.js';
export { type Clock, machineClock } from './clock.js';
export type { DatabaseClient, DatabaseRow } from './database-client.js';
export type { DatabaseOperation } from './database-scope.js';
export type { Isolation } from './database-session.js';
export {
  type DatabaseCall,
  DatabaseGuard,
  type DatabaseGuardOptions,
  type ReadOptions,
  type TransactionOptions,
} from './databases.js';
export { DocgenGuard, type DocgenOptions, type DocgenRequest, type DocgenResult } from './docgen.js';
export type { DocgenRecord, DocgenStatus } from './docgen-ring.js';
export type { DocgenContext, DocgenMake } from './docgen-run.js';
export {
  DbBusyError,
  DocgenStaleError,
  FencedError,
  LeaseLostError,
  MaaslError,
  MaaslInternalError,
  ResourceBusyError,
  StaleVersionError,
} from './errors.js';
export type { Fences, Tokens } from './fences.js';
export {
  type EditOptions,
  type FileCall,
  FileGuard,
  type FileGuardOptions,
  type FileResult,
  type ReadResult,
  type WriteOptions,
} from './files.js';
export {
  type GraphCall,
  GraphGuard,
  type KnowledgeGraph,
  type MergeResult,
} from './graph.js';
export type { EdgeKey, GraphChange, GraphConflict } from './graph-conflicts.js';
export type { GraphEdge, GraphNode } from './graph-content.js';
export type { GraphCounts } from './graph-merge.js';
export type { EdgeToAdd, GraphElement, GraphPatch, NodeToAdd, Properties } from './graph-patch.js';
export type { KeyRequest, LockMode } from './keys.js';
export type { Lease } from './lease.js';
export { type AcquireOptions, LockManager, type LockSnapshot, type LockWaiter } from './lock-manager.js';
export type { LockTable, Owner } from './lock-table.js';
export { Maasl, type MaaslOptions, type StompGuardOptions } from './maasl.js';
export {
  type Concurrency,
  PolicyRegistry,
  type ResourceClass,
  type Strategy,
  type WaitMode,
} from './policy.js';
export type { ResourceDescriptor } from './resources.js';
export type { StompGuard } from './stomp-guard.js';
export { type StompEvent, type StompEventName, Telemetry, type TelemetrySink } from './telemetry.js';
export { type GuardToolsOptions, guardTools } from './tools/guard-tools.js';
