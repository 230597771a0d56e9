/** The stomp guard: leases, fencing tokens and guards that keep agents from overwriting each other. */
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
export {
  DbBusyError,
  DocgenStaleError,
  FencedError,
  type GuardErrorBody,
  guardErrorBody,
  LeaseLostError,
  MaaslError,
  MaaslInternalError,
  ResourceBusyError,
  StaleVersionError,
} from './errors.js';
export type { Fences, StagedFile, Tokens } from './fences.js';
export {
  type EditOptions,
  type FileCall,
  FileGuard,
  type FileGuardOptions,
  type FileResult,
  type ReadResult,
  type WriteOptions,
} from './files.js';
export type { KeyRequest, LockMode } from './keys.js';
export type { Lease } from './lease.js';
export { type AcquireOptions, LockManager, type LockSnapshot } from './lock-manager.js';
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
