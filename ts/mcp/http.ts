/**
 * MCP over Streamable HTTP, for an HTTP server that hands its requests over. That server limits bodies, and keeps web
 * pages out: a page can make a browser send requests to this machine.
 */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { ErrorCode, isInitializeRequest, type RequestId } from '@modelcontextprotocol/sdk/types.js';
import { checkFields, checkInteger } from '../arguments.js';
import type { Toolbox } from '../tools/toolbox.js';
import { McpSession } from './session.js';

/** What to serve, and to how many. */
export interface McpHttpOptions {
  tools: Toolbox;
  /** A session that has asked nothing for so long is forgotten; its leases live until they expire. @default 1,800,000 */
  sessionTimeoutMs?: number;
  /** Beyond it the session that was idle longest makes room. @default 1000 */
  maxSessions?: number;
  /** Is told of what does not fit the protocol; it is answered and harms nobody. */
  onError?(error: Error): void;
}

interface Connection {
  readonly session: McpSession;
  readonly transport: StreamableHTTPServerTransport;
  /** Responses that are not at their end. */
  open: number;
  /** Requests that have such a response for themselves. */
  readonly alone: Set<RequestId>;
  /** Of `performance.now()`. */
  usedAt: number;
}

const optionFields = ['tools', 'sessionTimeoutMs', 'maxSessions', 'onError'];
const day = 24 * 3600 * 1000;
const tidyMs = 10_000;
/** Of the SDK, for sessions that are not there. */
const sessionNotFound = -32001;

/** Serves MCP to many clients at once, each in a session of its own. */
export class McpHttp {
  readonly #options: McpHttpOptions;
  readonly #timeoutMs: number;
  readonly #maxSessions: number;
  /** By the id of the session, whoever was used last at the end. */
  readonly #connections = new Map<string, Connection>();
  readonly #tidy: NodeJS.Timeout;
  #closed = false;

  /** @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD */
  constructor(options: McpHttpOptions) {
    checkFields('options', options, optionFields);
    this.#options = options;
    const { sessionTimeoutMs, maxSessions } = options;
    this.#timeoutMs = checkInteger('sessionTimeoutMs', sessionTimeoutMs, 1_800_000, { min: 1, max: day });
    this.#maxSessions = checkInteger('maxSessions', maxSessions, 1000, { min: 1, max: 1_000_000 });
    this.#tidy = setInterval(() => this.#forgetIdle(), Math.min(this.#timeoutMs, tidyMs)).unref();
  }

  /** Sessions that are known. */
  get sessions(): number {
    return this.#connections.size;
  }

  /**
   * Answers one request, of any method.
   * @param body the parsed JSON of a POST
   * @param signal takes calls of this request that wait for locks out of their queues; so does a client that goes
   */
  async handle(
    request: IncomingMessage,
    response: ServerResponse,
    body?: unknown,
    signal?: AbortSignal,
  ): Promise<void> {
    // Nobody would hear the answer; a goodbye counts all the same.
    if (response.closed && request.method !== 'DELETE') return;
    const connection = await this.#connectionOf(request, response, body);
    if (!connection) return;
    this.#use(connection, response, requestIds(body), signal);
    await connection.transport.handleRequest(request, response, body);
    // What was refused as the beginning of a session has begun none.
    if (connection.transport.sessionId === undefined) await this.#end(connection);
  }

  /** Ends every session. Leases live until they expire: their holders may find the next server. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#tidy);
    await Promise.all([...this.#connections.values()].map((connection) => this.#end(connection)));
  }

  async #connectionOf(
    request: IncomingMessage,
    response: ServerResponse,
    body: unknown,
  ): Promise<Connection | undefined> {
    const id = request.headers['mcp-session-id'];
    if (typeof id === 'string') {
      const known = this.#connections.get(id);
      if (!known) refuse(response, 404, sessionNotFound, 'There is no such session; initialize a new one.');
      return known;
    }
    if (request.method === 'POST' && isInitializeRequest(body)) return this.#open(response);
    refuse(
      response,
      400,
      ErrorCode.InvalidRequest,
      'Initialize a session first, and send its Mcp-Session-Id.',
    );
    return undefined;
  }

  async #open(response: ServerResponse): Promise<Connection | undefined> {
    if (this.#closed) {
      refuse(response, 503, ErrorCode.ConnectionClosed, 'The server is shutting down.');
      return undefined;
    }
    if (this.#connections.size >= this.#maxSessions && !(await this.#makeRoom())) {
      refuse(response, 503, ErrorCode.ConnectionClosed, 'Too many sessions are at work; try again later.');
      return undefined;
    }
    const id = randomUUID();
    const { tools, onError = () => undefined } = this.#options;
    const alone = new Set<RequestId>();
    // The transport would keep the response open for an answer; one of several requests waits for theirs.
    const onUnanswered = (request: RequestId) => {
      if (alone.has(request)) transport.closeSSEStream(request);
    };
    const session = new McpSession({ tools, id, onError, onUnanswered });
    const transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: () => id,
      // The client says goodbye: it will not come back for its leases.
      onsessionclosed: () => session.giveBack(),
    });
    transport.onclose = () => this.#connections.delete(id);
    const connection = { session, transport, open: 0, alone, usedAt: performance.now() };
    this.#connections.set(id, connection);
    // Its accessors admit undefined, the interface's optional fields do not.
    await session.connect(transport as Parameters<McpSession['connect']>[0]);
    return connection;
  }

  #use(
    connection: Connection,
    response: ServerResponse,
    ids: readonly RequestId[],
    signal: AbortSignal | undefined,
  ): void {
    // Nothing would tell of its end.
    if (response.closed) return;
    const { session, alone } = connection;
    const cancel = () => session.cancel(ids);
    const [only] = ids.length === 1 ? ids : [];
    if (only !== undefined) alone.add(only);
    connection.open++;
    this.#touch(connection);
    signal?.addEventListener('abort', cancel, { once: true });
    response.once('close', () => {
      signal?.removeEventListener('abort', cancel);
      // What is not answered now never will be.
      if (!response.writableFinished) cancel();
      if (only !== undefined) alone.delete(only);
      connection.open--;
      this.#touch(connection);
    });
  }

  #touch(connection: Connection): void {
    const { id } = connection.session;
    connection.usedAt = performance.now();
    if (this.#connections.delete(id)) this.#connections.set(id, connection);
  }

  async #makeRoom(): Promise<boolean> {
    const idle = [...this.#connections.values()].find(({ open }) => open === 0);
    if (idle) await this.#end(idle);
    return idle !== undefined;
  }

  #forgetIdle(): void {
    const before = performance.now() - this.#timeoutMs;
    const idle = [...this.#connections.values()].filter(({ open, usedAt }) => open === 0 && usedAt <= before);
    for (const connection of idle)
      this.#end(connection).catch((error: Error) => this.#options.onError?.(error));
  }

  async #end({ session }: Connection): Promise<void> {
    this.#connections.delete(session.id);
    session.cancel();
    await session.close();
  }
}

/** Of the calls in a body: one message, or several. */
function requestIds(body: unknown): RequestId[] {
  const messages: unknown[] = Array.isArray(body) ? body : [body];
  return messages.flatMap((message) => {
    const id = (message as { id?: unknown } | null | undefined)?.id;
    return typeof id === 'string' || typeof id === 'number' ? [id] : [];
  });
}

function refuse(response: ServerResponse, status: number, code: number, message: string): void {
  response.writeHead(status, {
    'content-type': 'application/json',
    ...(status === 503 ? { 'retry-after': '2' } : {}),
  });
  response.end(JSON.stringify({ jsonrpc: '2.0', error: { code, message }, id: null }));
}
