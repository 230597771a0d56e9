/** The guard's errors under the names that its users know. `instanceof` goes by the code, as everywhere. */
import { StompError, type StompErrorCode, type StompErrorOptions } from '../errors.js';

const guardCodes = [
  'RESOURCE_BUSY',
  'LEASE_LOST',
  'FENCED',
  'DB_BUSY',
  'DOCGEN_STALE',
  'STALE_VERSION',
  'UNKNOWN_RESOURCE_CLASS',
  'PATH_DENIED',
  'INTERNAL_ERROR',
] as const satisfies readonly StompErrorCode[];

/** What the guard itself refuses with; errors of the guarded operation keep their own type. */
export class MaaslError extends StompError {
  /** True for every error with one of the guard's codes. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return value instanceof StompError && guardCodes.some((code) => code === value.code);
  }
}

const withCode = (code: StompErrorCode) => (value: unknown) =>
  value instanceof StompError && value.code === code;

/** `fields`: `resource_key`, `holder_agent_id`, `holder_session_id`, `wait_ms`, `max_wait_ms`. */
export class ResourceBusyError extends MaaslError {
  /** True for every error with this code. */
  static override [Symbol.hasInstance] = withCode('RESOURCE_BUSY');
  constructor(message: string, options?: StompErrorOptions) {
    super('RESOURCE_BUSY', message, options);
  }
}

/** Who is in the way of what, and how long that was waited for. */
export interface Busy {
  readonly key: string;
  readonly holder: { readonly agentId: string; readonly sessionId: string };
  readonly waitMs: number;
  readonly maxWaitMs: number;
}

/** The error that says so, in the words of whoever found it. */
export function busyError(message: string, { key, holder, waitMs, maxWaitMs }: Busy): ResourceBusyError {
  const fields = {
    resource_key: key,
    holder_agent_id: holder.agentId,
    holder_session_id: holder.sessionId,
    wait_ms: Math.round(waitMs),
    max_wait_ms: maxWaitMs,
  };
  return new ResourceBusyError(message, { fields });
}

/** No lock is given any more. */
export function locksClosedError(): StompError {
  return new StompError('SHUTTING_DOWN', 'The lock manager is closed.');
}

/** Whoever waited for a lock wants it no more. */
export function lockCancelledError(cause: unknown): StompError {
  return new StompError('CANCELLED', 'The request for the lock was cancelled.', { cause });
}

/** The lease ended before it was released. `fields`: `resource_keys`. */
export class LeaseLostError extends MaaslError {
  /** True for every error with this code. */
  static override [Symbol.hasInstance] = withCode('LEASE_LOST');
  constructor(message: string, options?: StompErrorOptions) {
    super('LEASE_LOST', message, options);
  }
}

/** The resource has accepted a higher token. `fields`: `resource_key`, `token`, `highest_token`. */
export class FencedError extends MaaslError {
  /** True for every error with this code. */
  static override [Symbol.hasInstance] = withCode('FENCED');
  constructor(message: string, options?: StompErrorOptions) {
    super('FENCED', message, options);
  }
}

/** A database is locked or out of reach. `fields`: `description`, `last_sqlite_error`. */
export class DbBusyError extends MaaslError {
  /** True for every error with this code. */
  static override [Symbol.hasInstance] = withCode('DB_BUSY');
  constructor(message: string, options?: StompErrorOptions) {
    super('DB_BUSY', message, options);
  }
}

/** The source changes faster than docs are made of it. `fields`: `file`, `expected_hash`, `got_hash`. */
export class DocgenStaleError extends MaaslError {
  /** True for every error with this code. */
  static override [Symbol.hasInstance] = withCode('DOCGEN_STALE');
  constructor(message: string, options?: StompErrorOptions) {
    super('DOCGEN_STALE', message, options);
  }
}

/** The file is not what the caller has read. `fields`: `file`, `expected_version`, `current_version`. */
export class StaleVersionError extends MaaslError {
  /** True for every error with this code. */
  static override [Symbol.hasInstance] = withCode('STALE_VERSION');
  constructor(message: string, options?: StompErrorOptions) {
    super('STALE_VERSION', message, options);
  }
}

/** The guard has a fault. `fields`: `correlation_id`, which the log has too. */
export class MaaslInternalError extends MaaslError {
  /** True for every error with this code. */
  static override [Symbol.hasInstance] = withCode('INTERNAL_ERROR');
  constructor(message: string, options?: StompErrorOptions) {
    super('INTERNAL_ERROR', message, options);
  }
}
