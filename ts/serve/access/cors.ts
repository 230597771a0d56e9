/**
 * Lets pages of named origins read answers (CORS, as the Fetch standard has it). Without credentials: a page
 * sends its key as a header, never a cookie.
 */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { StompError } from '../../errors.js';

const METHODS = 'GET, HEAD, POST, PUT, PATCH, DELETE';
const MAX_AGE_SECONDS = '600';
const EXPOSED = [
  'x-request-id',
  'request-id',
  'x-agent-id',
  'retry-after',
  'etag',
  'mcp-session-id',
  'x-ratelimit-limit-requests',
  'x-ratelimit-remaining-requests',
  'x-ratelimit-reset-requests',
].join(', ');
const HEADER_NAMES = /^[\w!#$%&'*+.^`|~, -]{1,4096}$/;

/** @returns the origins, as browsers write them. @throws StompError CONFIG_INVALID for what is no origin. */
export function checkOrigins(origins: readonly string[]): ReadonlySet<string> {
  for (const origin of origins) {
    if (URL.canParse(origin) && new URL(origin).origin === origin && /^https?:/.test(origin)) continue;
    const message =
      `${JSON.stringify(origin)} is not an origin: write it as browsers send it, ` +
      'such as https://agents.example or http://localhost:5173, without a path or a slash at the end.';
    throw new StompError('CONFIG_INVALID', message, { fields: { field: 'cors-origin', value: origin } });
  }
  return new Set(origins);
}

/**
 * Adds the headers to the answer of a page that may read it.
 * @returns whether this was a preflight, and is answered.
 */
export function shareWithPage(
  request: FastifyRequest,
  reply: FastifyReply,
  origins: ReadonlySet<string>,
): boolean {
  if (origins.size === 0) return false;
  void reply.header('vary', 'Origin');
  const { origin } = request.headers;
  if (origin === undefined || !origins.has(origin)) return false;
  void reply.header('access-control-allow-origin', origin);
  const method = request.headers['access-control-request-method'];
  if (request.method !== 'OPTIONS' || method === undefined) {
    void reply.header('access-control-expose-headers', EXPOSED);
    return false;
  }
  preflight(reply, request.headers['access-control-request-headers']);
  return true;
}

/** Any header may be sent: clients add some of their own, and what they mean is checked where it is read. */
function preflight(reply: FastifyReply, headers: string | undefined): void {
  void reply.header('vary', 'Origin, Access-Control-Request-Method, Access-Control-Request-Headers');
  void reply.header('access-control-allow-methods', METHODS);
  void reply.header('access-control-max-age', MAX_AGE_SECONDS);
  if (headers !== undefined && HEADER_NAMES.test(headers)) {
    void reply.header('access-control-allow-headers', headers);
  }
  void reply.code(204).send();
}
