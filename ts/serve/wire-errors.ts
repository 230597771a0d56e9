/** Errors on the wire, in OpenAI's shape on every route. Pure. */
import { StompError, toStompError } from '../errors.js';

/** `error` as OpenAI's clients expect it, with the structured fields beside it. */
export interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string;
    readonly fields?: Readonly<Record<string, unknown>>;
  };
}

/** Seconds after which a refused client should try again. */
const RETRY_AFTER_SECONDS: Partial<Record<number, number>> = { 429: 1, 503: 2 };
const BUSY_SECONDS = 1;

const codeByFrameworkError: Readonly<Record<string, readonly [code: StompError['code'], message: string]>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: ['PAYLOAD_TOO_LARGE', 'The request body is larger than this route takes.'],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: [
    'UNSUPPORTED_MEDIA_TYPE',
    'The body must be JSON: send Content-Type: application/json.',
  ],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: [
    'INVALID_REQUEST',
    'The body is not as long as the Content-Length header says.',
  ],
  FST_ERR_BAD_URL: ['INVALID_REQUEST', 'The path of the request is not a valid URL path.'],
  FST_ERR_MAX_PARAM_LENGTH: ['INVALID_REQUEST', 'A part of the path is longer than any name may be.'],
};

/**
 * Whatever a handler or the framework threw, as a StompError. Unexpected ones lose their text, which
 * belongs in the log and not on the wire.
 */
export function errorForWire(caught: unknown): StompError {
  if (caught instanceof StompError) return caught;
  const { code, statusCode, message } = caught as { code?: unknown; statusCode?: unknown; message?: unknown };
  const known = typeof code === 'string' ? codeByFrameworkError[code] : undefined;
  if (known) return new StompError(known[0], known[1], { cause: caught });
  if (typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500) {
    return new StompError('INVALID_REQUEST', `The request cannot be read: ${String(message)}`, {
      cause: caught,
    });
  }
  const error = toStompError(caught);
  return error.cause === undefined
    ? error
    : new StompError(
        error.code,
        "Unexpected failure; the server's log has it under this request's X-Request-ID.",
        {
          cause: caught,
        },
      );
}

/** The body that says an error. */
export function errorBody(error: StompError): ErrorBody {
  const field = error.fields.field;
  return {
    error: {
      message: error.message,
      type: errorType(error.status),
      param: typeof field === 'string' ? field : null,
      code: error.code,
      ...(Object.keys(error.fields).length > 0 ? { fields: error.fields } : {}),
    },
  };
}

/** The same with the fields beside the code, as the guard's tools say it on every wire. */
export function flatErrorBody(error: StompError): { readonly error: Readonly<Record<string, unknown>> } {
  const { fields, ...rest } = errorBody(error).error;
  return { error: { ...fields, ...rest } };
}

/** Value of the `Retry-After` header, if the error is one that passes. */
export function retryAfterSeconds(error: StompError): number | undefined {
  if (error.code === 'RESOURCE_BUSY') return BUSY_SECONDS;
  const { retry_after_ms: ms } = error.fields;
  if (error.status === 429 && typeof ms === 'number') return Math.max(1, Math.ceil(ms / 1000));
  return RETRY_AFTER_SECONDS[error.status];
}

function errorType(status: number): string {
  if (status === 401) return 'authentication_error';
  if (status === 403) return 'permission_error';
  if (status === 429) return 'rate_limit_error';
  return status < 500 ? 'invalid_request_error' : 'server_error';
}
