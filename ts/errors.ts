/**
 * The one error type of the package. `code` is the contract, from the native core to the wire: it
 * never changes meaning, whatever the message says. Messages name the remedy; `fields` hold what a
 * program may want to read out of them.
 */

/** Every code with the HTTP status under which a server reports it. */
const statusByCode = {
  INVALID_REQUEST: 400,
  UNSUPPORTED_FIELD: 400,
  CONTEXT_OVERFLOW: 400,
  CONFIG_INVALID: 400,
  UNKNOWN_RESOURCE_CLASS: 400,
  UNAUTHORIZED: 401,
  PROVIDER_KEY_MISSING: 401,
  FORBIDDEN: 403,
  PATH_DENIED: 403,
  NOT_FOUND: 404,
  AGENT_NOT_FOUND: 404,
  MODEL_NOT_FOUND: 404,
  PROJECT_NOT_FOUND: 404,
  RESERVATION_NOT_FOUND: 404,
  RUN_NOT_FOUND: 404,
  APPROVAL_NOT_FOUND: 404,
  NOT_A_REPOSITORY: 404,
  UNKNOWN_REF: 404,
  METHOD_NOT_ALLOWED: 405,
  AGENT_EXISTS: 409,
  INCOMPATIBLE_CACHE: 409,
  CACHE_IN_USE: 409,
  PORT_IN_USE: 409,
  RESOURCE_BUSY: 409,
  FENCED: 409,
  DOCGEN_STALE: 409,
  STALE_VERSION: 409,
  VERSION_CONFLICT: 409,
  NO_SESSION: 409,
  SESSION_EXPIRED: 409,
  SESSION_MISMATCH: 409,
  PROJECT_EXISTS: 409,
  ENTRY_EXISTS: 409,
  RESERVATION_CONFLICT: 409,
  APPROVAL_DECIDED: 409,
  APPROVAL_CHANGED: 409,
  RUN_ENDED: 409,
  TRACK_INCOMPLETE: 409,
  MERGE_REFUSED: 409,
  LEASE_LOST: 410,
  APPROVAL_EXPIRED: 410,
  EVENTS_GONE: 410,
  PAYLOAD_TOO_LARGE: 413,
  UNSUPPORTED_MEDIA_TYPE: 415,
  MODEL_INVALID: 422,
  MODEL_UNSUPPORTED: 422,
  STATE_INVALID: 422,
  POOL_EXHAUSTED: 429,
  QUEUE_FULL: 429,
  RATE_LIMITED: 429,
  PROVIDER_LIMITED: 429,
  TOO_MANY_SESSIONS: 429,
  CANCELLED: 499,
  CACHE_CORRUPT: 500,
  GENERATION_FAILED: 500,
  GIT_FAILED: 500,
  INTERNAL_ERROR: 500,
  LOG_CORRUPT: 500,
  LOG_UNWRITABLE: 500,
  MODEL_DOWNLOAD: 502,
  PROVIDER_FAILED: 502,
  ENGINE_STALLED: 503,
  ENGINE_UNAVAILABLE: 503,
  EXECUTOR_UNAVAILABLE: 503,
  MODEL_SWAP: 503,
  PROVIDER_MISSING: 503,
  SHUTTING_DOWN: 503,
  DB_BUSY: 503,
  CACHE_PERSISTENCE: 507,
} as const;

/** The closed set of codes. */
export type StompErrorCode = keyof typeof statusByCode;

/** Structured details of an error, safe to serialise; the keys depend on the code. */
export type StompErrorFields = Record<string, unknown>;

/** What an error carries besides its code and message. */
export interface StompErrorOptions {
  /** For INVALID_REQUEST: `field`, `value` and, where there is a set or range, `allowed`. */
  fields?: StompErrorFields;
  /** What lay below. */
  cause?: unknown;
}

/** All codes, for documentation and tests. */
export const stompErrorCodes = Object.keys(statusByCode) as readonly StompErrorCode[];

/** Thrown by everything in this package. */
export class StompError extends Error {
  readonly code: StompErrorCode;
  readonly fields: StompErrorFields;
  /** HTTP status under which a server reports this error. */
  readonly status: number;

  constructor(code: StompErrorCode, message: string, options: StompErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.status = statusByCode[code];
    this.fields = options.fields ?? {};
    this.name = errorName(code, new.target.name);
  }

  /** The fields a caller of a server may see; never the stack or the cause. */
  toJSON(): { code: StompErrorCode; message: string; fields: StompErrorFields } {
    return { code: this.code, message: this.message, fields: this.fields };
  }
}

/**
 * The named classes. `instanceof` goes by the code, so that an error answers to its name however it
 * was made: in the core, on the wire, or with `new StompError(code, …)`.
 */
function named(code: StompErrorCode): (value: unknown) => boolean {
  return (value) => value instanceof StompError && value.code === code;
}

/** No such agent, in memory or on disk. */
export class AgentNotFoundError extends StompError {
  /** True for every error with this code. */
  static override [Symbol.hasInstance] = named('AGENT_NOT_FOUND');
  constructor(message: string, options?: StompErrorOptions) {
    super('AGENT_NOT_FOUND', message, options);
  }
}

/** The block pool cannot hold the request, now or ever; `fields` say which. */
export class PoolExhaustedError extends StompError {
  /** True for every error with this code. */
  static override [Symbol.hasInstance] = named('POOL_EXHAUSTED');
  constructor(message: string, options?: StompErrorOptions) {
    super('POOL_EXHAUSTED', message, options);
  }
}

/** An agent's file failed its checks; it was set aside. */
export class CacheCorruptionError extends StompError {
  /** True for every error with this code. */
  static override [Symbol.hasInstance] = named('CACHE_CORRUPT');
  constructor(message: string, options?: StompErrorOptions) {
    super('CACHE_CORRUPT', message, options);
  }
}

/** The model is being exchanged; try again later. */
export class ModelSwapError extends StompError {
  /** True for every error with this code. */
  static override [Symbol.hasInstance] = named('MODEL_SWAP');
  constructor(message: string, options?: StompErrorOptions) {
    super('MODEL_SWAP', message, options);
  }
}

/** An agent could not be written to disk. */
export class CachePersistenceError extends StompError {
  /** True for every error with this code. */
  static override [Symbol.hasInstance] = named('CACHE_PERSISTENCE');
  constructor(message: string, options?: StompErrorOptions) {
    super('CACHE_PERSISTENCE', message, options);
  }
}

/** An argument, option or message is not what it must be. */
export class InvalidRequestError extends StompError {
  /** True for every error with this code. */
  static override [Symbol.hasInstance] = named('INVALID_REQUEST');
  constructor(message: string, options?: StompErrorOptions) {
    super('INVALID_REQUEST', message, options);
  }
}

const namedClasses: Partial<Record<StompErrorCode, string>> = {
  AGENT_NOT_FOUND: 'AgentNotFoundError',
  POOL_EXHAUSTED: 'PoolExhaustedError',
  CACHE_CORRUPT: 'CacheCorruptionError',
  MODEL_SWAP: 'ModelSwapError',
  CACHE_PERSISTENCE: 'CachePersistenceError',
  INVALID_REQUEST: 'InvalidRequestError',
  // What `fetch` and the streams call it, so that one check covers them all.
  CANCELLED: 'AbortError',
};

function errorName(code: StompErrorCode, constructed: string): string {
  return namedClasses[code] ?? constructed;
}

/** Whether `code` belongs to the closed set. */
export function isStompErrorCode(code: unknown): code is StompErrorCode {
  return typeof code === 'string' && Object.hasOwn(statusByCode, code);
}

/** An error as it crosses the binding, as a rejection or inside a finish event. */
interface ForeignError {
  code?: unknown;
  message?: unknown;
  fields?: unknown;
}

/**
 * Turns whatever was caught into a StompError. Errors of the native core keep code, message and
 * fields; anything else becomes GENERATION_FAILED with the original as cause.
 * @param caller an `Error` made where the public method was called: its frames replace those of the
 *   native callback, which name no line of the user's.
 */
export function toStompError(caught: unknown, caller?: Error): StompError {
  if (caught instanceof StompError) return caught;
  const foreign: ForeignError = typeof caught === 'object' && caught !== null ? caught : {};
  const message = typeof foreign.message === 'string' ? foreign.message : String(caught);
  const error = isStompErrorCode(foreign.code)
    ? new StompError(foreign.code, message, { fields: plainFields(foreign.fields) })
    : new StompError('GENERATION_FAILED', `Unexpected failure: ${message}`, { cause: caught });
  if (caller) graftStack(error, caller);
  return error;
}

/** Gives `error` the frames of `caller`. */
export function graftStack(error: StompError, caller: Error): void {
  const frames = caller.stack?.split('\n').filter((line) => line.startsWith('    at ')) ?? [];
  if (frames.length > 0) error.stack = [`${error.name}: ${error.message}`, ...frames].join('\n');
}

/** What the core counts. It tells everything in text. */
const counts: ReadonlySet<string> = new Set(['promptTokens', 'contextTokens', 'neededTokens', 'waiting']);

function plainFields(fields: unknown): StompErrorFields {
  if (typeof fields !== 'object' || fields === null) return {};
  const entries = Object.entries(fields);
  return Object.fromEntries(entries.map(([name, value]) => [name, counts.has(name) ? Number(value) : value]));
}
