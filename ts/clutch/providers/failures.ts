/** What went wrong with one attempt, read out of whatever a client library threw. */
import { StompError } from '../../errors.js';

export interface FailureFacts {
  /** HTTP status, or the one that would have been sent had the answer not begun. */
  readonly status?: number | undefined;
  /** May go well the next time. */
  readonly passing: boolean;
  /** How long the provider wants to be left alone. */
  readonly waitMs?: number | undefined;
}

/** One attempt failed; `message` says why, in the provider's words. */
export class ProviderFailure extends Error {
  readonly status: number | undefined;
  readonly passing: boolean;
  readonly waitMs: number | undefined;

  constructor(message: string, facts: FailureFacts) {
    super(message);
    this.name = 'ProviderFailure';
    this.status = facts.status;
    this.passing = facts.passing;
    this.waitMs = facts.waitMs;
  }
}

/** The connection ended before the answer was complete. */
export function cutShort(): ProviderFailure {
  return new ProviderFailure('the answer was cut off before its end', { passing: true });
}

/** The provider ended the answer for a reason of its own, such as a filter. */
export function declined(reason: string): ProviderFailure {
  return new ProviderFailure(`the answer was withheld: ${reason}`, { passing: false });
}

/** What a caller whose signal is aborted is told. */
export function ended({ reason }: AbortSignal): StompError {
  return reason instanceof StompError ? reason : new StompError('CANCELLED', 'The request was cancelled.');
}

const passingStatuses: ReadonlySet<number> = new Set([429, 500, 502, 503, 529]);

/** Whether a request that got this HTTP status may go well the next time. */
export function isPassing(status: number): boolean {
  return passingStatuses.has(status);
}

/** Of our own engine: there is no room now, or no model for a moment. */
const passingCodes: ReadonlySet<string> = new Set(['QUEUE_FULL', 'MODEL_SWAP', 'RATE_LIMITED']);

/** What a client library's error may carry. */
interface ForeignError {
  readonly name?: unknown;
  readonly message?: unknown;
  readonly status?: unknown;
  readonly headers?: unknown;
  readonly type?: unknown;
  readonly code?: unknown;
  readonly cause?: unknown;
}

/**
 * @param nowMs since 1970, for dates in `Retry-After`
 * @returns a StompError as it came, if trying again would not help
 */
export function readFailure(caught: unknown, nowMs: number): ProviderFailure | StompError {
  if (caught instanceof ProviderFailure) return caught;
  if (caught instanceof StompError) return ownFailure(caught);
  const error: ForeignError = typeof caught === 'object' && caught !== null ? caught : {};
  const message = typeof error.message === 'string' ? error.message : String(caught);
  const status = statusOf(error);
  if (status === undefined) return new ProviderFailure(message, { passing: isConnectionLoss(error) });
  const waitMs = error.headers instanceof Headers ? retryAfterMs(error.headers, nowMs) : undefined;
  return new ProviderFailure(message, { status, passing: isPassing(status), waitMs });
}

function ownFailure(error: StompError): ProviderFailure | StompError {
  if (!passingCodes.has(error.code)) return error;
  const { retry_after_ms: waitMs } = error.fields;
  return new ProviderFailure(error.message, {
    status: error.status,
    passing: true,
    waitMs: typeof waitMs === 'number' ? waitMs : undefined,
  });
}

/** Errors within a stream have a type in the place of the status, which was sent long before. */
const statusByType: Readonly<Record<string, number>> = {
  rate_limit_error: 429,
  rate_limit_exceeded: 429,
  api_error: 500,
  server_error: 500,
  internal_error: 500,
  timeout_error: 503,
  overloaded_error: 529,
};

function statusOf({ status, type, code }: ForeignError): number | undefined {
  if (typeof status === 'number') return status;
  return [type, code].flatMap((name) => statusByType[String(name)] ?? []).at(0);
}

const lossNames: ReadonlySet<unknown> = new Set(['APIConnectionError', 'APIConnectionTimeoutError']);
const lossCodes = /^(E(CONN|PIPE|TIMEDOUT|HOST|NET|NOTFOUND|AI_AGAIN)|UND_ERR_)/;
const lossMessages = /^(fetch failed|terminated|Incomplete JSON segment|Premature close)/;

function isConnectionLoss(error: ForeignError): boolean {
  const { cause } = error;
  const names = [error.name, error.constructor.name];
  if (names.some((name) => lossNames.has(name))) return true;
  if (lossCodes.test(String(error.code)) || lossMessages.test(String(error.message))) return true;
  return typeof cause === 'object' && cause !== null && isConnectionLoss(cause);
}

/**
 * `retry-after-ms`, or `Retry-After` in seconds or as an HTTP date (RFC 9110, 10.2.3).
 * @returns undefined where neither is there or can be read
 */
export function retryAfterMs(headers: Headers, nowMs: number): number | undefined {
  const exact = headers.get('retry-after-ms');
  if (isNumber(exact)) return Math.ceil(Number(exact));
  const rough = headers.get('retry-after');
  if (isNumber(rough)) return Math.ceil(Number(rough) * 1000);
  const date = Date.parse(rough ?? '');
  return Number.isNaN(date) ? undefined : Math.max(0, date - nowMs);
}

function isNumber(text: string | null): boolean {
  return /^\s*\d+(\.\d+)?\s*$/.test(text ?? '');
}
