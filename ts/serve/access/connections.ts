/**
 * Keeps slow, broken and greedy clients from holding up the others. One per server; main thread only.
 */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, Server, ServerOptions, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { StompError } from '../../errors.js';
import { errorBody } from '../wire-errors.js';

/** How many connections there may be, and how slow their clients. */
export interface ConnectionOptions {
  /** Connections at the same time; more are closed at once. @default 4096 */
  maxConnections?: number | undefined;
  /** For a whole request to arrive. An answer takes as long as it takes. @default 120000 */
  requestTimeoutMs?: number | undefined;
  /** For its headers to arrive. @default 15000, or `requestTimeoutMs` if that is less */
  headersTimeoutMs?: number | undefined;
  /** For a client to take the next part of an answer that is complete. @default 60000 */
  stallTimeoutMs?: number | undefined;
}

const MAX_CONNECTIONS = 4096;
const REQUEST_TIMEOUT_MS = 120_000;
const HEADERS_TIMEOUT_MS = 15_000;
/** Longer than the idle time-outs of usual proxies, so that they close first. */
const KEEP_ALIVE_MS = 72_000;
const CHECK_MS = 1000;
const MAX_HEADER_BYTES = 16 << 10;
const STALL_MS = 60_000;
const LINGER_MS = 1000;
/** Requests of one connection that are not answered; no client of ours sends the next one before. */
const MAX_PIPELINED = 16;

/** Of Fastify, and of the HTTP server below it. */
export interface TransportOptions {
  readonly keepAliveTimeout: number;
  readonly requestTimeout: number;
  readonly http: ServerOptions;
}

export function transportOptions(options: ConnectionOptions): TransportOptions {
  const requestTimeout = options.requestTimeoutMs ?? REQUEST_TIMEOUT_MS;
  const headersTimeout = Math.min(options.headersTimeoutMs ?? HEADERS_TIMEOUT_MS, requestTimeout);
  return {
    keepAliveTimeout: KEEP_ALIVE_MS,
    requestTimeout,
    http: {
      requestTimeout,
      headersTimeout,
      connectionsCheckingInterval: Math.min(CHECK_MS, headersTimeout),
      maxHeaderSize: MAX_HEADER_BYTES,
      insecureHTTPParser: false,
      // `begin` refuses its absence in our own words.
      requireHostHeader: false,
    },
  };
}

/** Those without a request make room for the next one. */
export function limitConnections(server: Server, { maxConnections }: ConnectionOptions): void {
  server.maxConnections = maxConnections ?? MAX_CONNECTIONS;
  server.on('drop', () => server.closeIdleConnections());
}

export class Connections {
  readonly #unanswered = new WeakMap<Socket, Set<ServerResponse>>();
  readonly #stallMs: number;

  constructor({ stallTimeoutMs = STALL_MS }: ConnectionOptions = {}) {
    this.#stallMs = stallTimeoutMs;
  }

  /**
   * A request has begun.
   * @throws StompError INVALID_REQUEST, QUEUE_FULL
   */
  begin(request: IncomingMessage, response: ServerResponse): void {
    const responses = this.#responsesOf(request.socket);
    responses.add(response);
    response.once('close', () => responses.delete(response));
    response.once('prefinish', () => response.setTimeout(this.#stallMs));
    if (request.url?.startsWith('/') !== true && request.url !== '*') {
      throw new StompError('INVALID_REQUEST', 'This is no proxy: send the path alone, beginning with "/".', {
        fields: { field: 'path' },
      });
    }
    if (hosts(request.rawHeaders) !== 1) {
      throw new StompError('INVALID_REQUEST', 'A request has exactly one Host header.', {
        fields: { field: 'host' },
      });
    }
    if (responses.size > MAX_PIPELINED) {
      response.shouldKeepAlive = false;
      throw new StompError(
        'QUEUE_FULL',
        `This connection has ${MAX_PIPELINED} requests without an answer; wait for them, or open another.`,
        { fields: { limit: MAX_PIPELINED } },
      );
    }
  }

  /** Bytes that are not HTTP never become a request; they get their answer on the bare socket. */
  refuse(caught: Error & { code?: string }, socket: Socket): void {
    const answers = [...this.#responsesOf(socket)];
    // In the middle of an answer, a second one would be taken for its continuation.
    const isAnswering = answers.some((response) => response.headersSent);
    if (caught.code === 'ECONNRESET' || !socket.writable || isAnswering) return void socket.destroy();
    const [status, message] = refusals[caught.code ?? ''] ?? [
      '400 Bad Request',
      'This is not an HTTP request.',
    ];
    const body = JSON.stringify(errorBody(new StompError('INVALID_REQUEST', message)));
    socket.end(
      `HTTP/1.1 ${status}\r\nContent-Type: application/json; charset=utf-8\r\nConnection: close\r\n` +
        `X-Request-ID: req_${randomUUID()}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    );
    // One that keeps its side open would stay.
    setTimeout(() => socket.destroy(), LINGER_MS).unref();
  }

  #responsesOf(socket: Socket): Set<ServerResponse> {
    const known = this.#unanswered.get(socket);
    if (known) return known;
    const responses = new Set<ServerResponse>();
    this.#unanswered.set(socket, responses);
    return responses;
  }
}

/** How many Host headers there are; of two, proxies and servers read different ones. */
function hosts(rawHeaders: readonly string[]): number {
  return rawHeaders.filter((name, index) => index % 2 === 0 && name.toLowerCase() === 'host').length;
}

const refusals: Readonly<Record<string, readonly [status: string, message: string]>> = {
  HPE_HEADER_OVERFLOW: ['431 Request Header Fields Too Large', 'The headers are too long.'],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: ['413 Payload Too Large', 'The chunk extensions are too long.'],
  ERR_HTTP_REQUEST_TIMEOUT: ['408 Request Timeout', 'The request did not arrive in time.'],
};
