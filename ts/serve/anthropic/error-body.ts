/** Errors in Anthropic's shape, on the wire and as the last event of a stream. Pure. */
import type { StompError } from '../../errors.js';

export interface AnthropicErrorBody {
  readonly type: 'error';
  readonly error: {
    readonly type: string;
    readonly message: string;
    readonly code: string;
    /** Where Anthropic's clients look for what a program may want to know. */
    readonly details: Readonly<Record<string, unknown>>;
  };
  readonly request_id: string;
}

const TYPES: Readonly<Partial<Record<number, string>>> = {
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  499: 'api_error',
  503: 'overloaded_error',
};

/** The body that says an error. */
export function anthropicErrorBody(error: StompError, requestId: string): AnthropicErrorBody {
  const { code } = error;
  return {
    type: 'error',
    error: {
      type: TYPES[error.status] ?? (error.status < 500 ? 'invalid_request_error' : 'api_error'),
      message: messageOf(error),
      code,
      details: detailsOf(error),
    },
    request_id: requestId,
  };
}

/**
 * Clients that would rather leave a conversation with the server send all of it themselves when they are told
 * by this code that it cannot be left there.
 */
function detailsOf({ code, fields }: StompError): Record<string, unknown> {
  const isThread = code === 'UNSUPPORTED_FIELD' && fields.field === 'thread';
  return isThread
    ? { ...fields, error_code: 'thread_unsupported_request', unsupported: ['thread'] }
    : { ...fields, error_code: code };
}

/** Agents know by these words and numbers that they have to shorten the conversation. */
function messageOf({ code, fields, message }: StompError): string {
  const { promptTokens, contextTokens } = fields;
  const isCounted = typeof promptTokens === 'number' && typeof contextTokens === 'number';
  if (code !== 'CONTEXT_OVERFLOW' || !isCounted) return message;
  return `prompt is too long: ${promptTokens} tokens > ${contextTokens} maximum. ${message}`;
}
