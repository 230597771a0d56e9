/**
 * The HTTP server: routes, limits, errors, logs. `createServer` does not own the engine or the registry: whoever
 * opened it closes it, after the server.
 */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import Fastify, {
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  LogController,
} from 'fastify';
import { isLoopback } from '../config/schema.js';
import type { AgentContextManager } from '../context/index.js';
import { StompError } from '../errors.js';
import type { DocgenGuard, FileGuard, Maasl } from '../guard/index.js';
import { admin } from './admin/admin.js';
import { agents } from './agents/agents.js';
import { generate } from './agents/generate.js';
import { type EngineSource, FixedEngine, type ServedRegistry } from './engine-source.js';
import { faultDetail, faultFields } from './fault-log.js';
import { health } from './health.js';
import { parseJsonBody } from './json-body.js';
import { checkLocal } from './local-only.js';
import { Metrics } from './metrics.js';
import { metrics } from './metrics-route.js';
import { chatCompletions } from './openai/chat-completions.js';
import { models } from './openai/models.js';
import { type Phase, type ServedEngine, Service } from './service.js';
import type { Systems } from './tools/tools.js';
import { type TracingOptions, traceRequests } from './tracing/trace-requests.js';
import { errorBody, errorForWire, retryAfterSeconds } from './wire-errors.js';

/** A stomp guard to offer over HTTP and MCP. Whoever opened it closes it, after the server. */
export interface GuardServices {
  maasl: Maasl;
  files: FileGuard;
  docgen?: Pick<DocgenGuard, 'status'>;
}

export interface ServerOptions {
  /** Name under which an engine is served; a registry names its models itself. @default the name it was loaded by */
  model?: string;
  /** Other names that requests may use for it. */
  aliases?: readonly string[];
  /** Largest request body. @default 4 MB */
  bodyLimitBytes?: number;
  /** How long `close()` lets running requests go on. @default 30000 */
  shutdownTimeoutMs?: number;
  /** Host names to answer to beside the loopback ones, where the handler is mounted elsewhere. */
  allowedHosts?: readonly string[];
  /** Adds `/v1/locks`, `/v1/tools`, `/v1/stomp/stats`, `/v1/docgen/status`, `/mcp` and the guard's metrics. */
  guard?: GuardServices;
  /**
   * Adds `/v1/projects`, `/v1/agents/{id}/project`, `/v1/agents/{id}/sessions`, `/v1/context/…`, their tools and the
   * context's metrics. Whoever opened it closes it, after the server and before its guard.
   */
  context?: AgentContextManager;
  /** Requests that may wait for a place in the engine's batch, by which readiness is judged. @default 256 */
  maxQueue?: number;
  /** Batch window that the engine was started with, as `/v1/admin/batch-window` tells it. @default 0 */
  batchWindowMs?: number;
  /** Sends an OpenTelemetry span for each request. @default off */
  tracing?: TracingOptions;
  /** Structured log lines; none from `info` upwards holds text of a prompt or an answer. @default off */
  log?: {
    level: string;
    stream: {
      /** Takes one JSON line, with its newline. */
      write(line: string): void;
    };
  };
}

export interface ListenOptions {
  /** Loopback only. @default '127.0.0.1' */
  host?: string;
  /** 0: any free one. @default 8000 */
  port?: number;
}

export interface StompServer {
  /** For routes and plug-ins of your own; add them before `listen` or `handler`. */
  readonly app: FastifyInstance;
  readonly phase: Phase;
  /** Requests that are generating, or work at the guard, now. */
  readonly runningTurns: number;
  /** Handles one request of another server. Paths stay as they are. */
  handler(request: IncomingMessage, response: ServerResponse): void;
  /** @throws StompError PORT_IN_USE, INVALID_REQUEST */
  listen(options?: ListenOptions): Promise<{ url: string; host: string; port: number }>;
  /**
   * Refuses new requests, waits for the running ones up to the time-out, cancels the rest, stops listening.
   * A second call cancels at once.
   */
  close(): Promise<void>;
}

const BODY_LIMIT_BYTES = 4 << 20;
const SHUTDOWN_TIMEOUT_MS = 30_000;
/** That of an engine that was told nothing else. */
const MAX_QUEUE = 256;
const DISCARD_MS = 2000;
/** For cancelled answers to say so, and for clients to read it. */
const LAST_WORDS_MS = 2000;

/**
 * @param engine a loaded engine, or one that is being loaded: until it is there, requests get 503 and
 *   `/health/startup` says so. Or a registry, whose models can be exchanged while the server runs.
 * @throws StompError INVALID_REQUEST when a registry comes with names for a model.
 */
export function createServer(
  engine: ServedEngine | Promise<ServedEngine> | ServedRegistry,
  options: ServerOptions = {},
): StompServer {
  const service = new Service(sourceOf(engine, options), new Metrics());
  const app = createApp(options);
  if (options.tracing) traceRequests(app, options.tracing);
  addHooks(app, service, options.allowedHosts ?? []);
  holdEngine(app, service);
  logChanges(app, service);
  for (const route of [chatCompletions, models, agents, generate, metrics]) route(app, service);
  admin(app, service, { batchWindowMs: options.batchWindowMs ?? 0 });
  health(app, service, { maxQueue: options.maxQueue ?? MAX_QUEUE });
  const { guard, context } = options;
  if (guard || context) addTools(app, service, { guard, context });
  const close = closer(app, service, options.shutdownTimeoutMs ?? SHUTDOWN_TIMEOUT_MS);
  return {
    app,
    get phase() {
      return service.phase;
    },
    get runningTurns() {
      return service.runningTurns;
    },
    handler: (request, response) => {
      app.ready(() => app.routing(request, response));
    },
    listen: (where) => listen(app, where ?? {}),
    close,
  };
}

function sourceOf(
  engine: ServedEngine | Promise<ServedEngine> | ServedRegistry,
  { model, aliases }: ServerOptions,
): EngineSource {
  if (!('acquire' in engine))
    return new FixedEngine(engine, { model: model || undefined, aliases: aliases ?? [] });
  if (model === undefined && aliases === undefined) return engine;
  throw new StompError('INVALID_REQUEST', 'A registry names its models; give it the aliases.', {
    fields: { field: model === undefined ? 'aliases' : 'model' },
  });
}

/** Loaded when there are any: without, nobody needs MCP. */
function addTools(app: FastifyInstance, service: Service, systems: Systems): void {
  app.register(async (scope) => (await import('./tools/tools.js')).tools(scope, service, systems));
}

function createApp(options: ServerOptions): FastifyInstance {
  const app = Fastify({
    logger: options.log ?? false,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: options.bodyLimitBytes ?? BODY_LIMIT_BYTES,
    genReqId: requestId,
    // Between requests only: a running one is drained or cancelled by `close`.
    forceCloseConnections: 'idle',
    return503OnClosing: false,
    // A name of 128 characters that are all encoded, four bytes each.
    routerOptions: { maxParamLength: 2048 },
    frameworkErrors: (error, request, reply) => void sendError(error, request, reply),
    clientErrorHandler: refuseBrokenRequest,
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_, text, done) => {
    try {
      done(null, parseJsonBody(text as string));
    } catch (error) {
      done(error as Error);
    }
  });
  app.setErrorHandler(sendError);
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?')[0]?.slice(0, 200);
    const error = new StompError('NOT_FOUND', `There is no ${path} here.`, {
      fields: { field: 'path', value: path },
    });
    return sendError(error, request, reply);
  });
  return app;
}

function addHooks(app: FastifyInstance, service: Service, allowedHosts: readonly string[]): void {
  app.decorateRequest('notes', null as never);
  app.addHook('onRequest', async (request, reply) => {
    request.notes = {};
    reply.header('x-request-id', request.id);
    const started = performance.now();
    service.responses.begin();
    reply.raw.once('close', () => service.responses.end());
    reply.raw.once('close', () => finished(service, request, reply, performance.now() - started));
    checkLocal(request.headers, allowedHosts);
    if (service.phase === 'draining') reply.header('connection', 'close');
    if (isApi(request.url)) service.refuseWhileDraining();
  });
}

/**
 * Routes that work on the engine hold it from before their handler runs until their response is sent. The rest of
 * the request then runs inside of `hold`, which is why this hook has a callback.
 */
function holdEngine(app: FastifyInstance, service: Service): void {
  app.addHook('preHandler', (request, reply, done) => {
    if (!usesEngine(request.routeOptions.url ?? '')) return done();
    const begin = (): void => {
      request.notes.model = service.model.id;
      done();
    };
    service.hold(reply.raw).then((run) => run(begin), done);
  });
}

function logChanges(app: FastifyInstance, service: Service): void {
  const stop = service.source.subscribe((event) => {
    if (event.type === 'state' || !event.change.changed) return;
    const { model, previous, totalMs, cancelledRequests } = event.change;
    app.log.info({ model, previous, cancelledRequests, ms: Math.round(totalMs) }, 'the model has changed');
  });
  app.addHook('onClose', async () => {
    stop();
    service.close();
  });
}

function usesEngine(route: string): boolean {
  return /^\/v1\/(chat\/completions|completions|messages|agents)(?!\/:id\/(project|sessions))/.test(route);
}

/** Paths that do something, beside those that watch over the server. */
function isApi(path: string): boolean {
  return path.startsWith('/v1/') || path.startsWith('/mcp');
}

/** Counts and logs one request, once its connection is done with it. */
function finished(service: Service, request: FastifyRequest, reply: FastifyReply, ms: number): void {
  const route = request.routeOptions.url ?? 'unknown';
  const { method, notes } = request;
  if (!reply.raw.writableFinished) Object.assign(notes, { status: 499, error: 'CANCELLED' });
  const status = notes.status ?? reply.raw.statusCode;
  if (isApi(route)) service.metrics.request(notes.model ?? service.model.id, route, status);
  const { span: _, ...told } = notes;
  const trace = request.span ? { traceId: request.span.traceId } : {};
  const line = { method, route, ...told, ...trace, status, ms: Math.round(ms) };
  if (route.startsWith('/health') || route === '/metrics') request.log.debug(line, 'request');
  else request.log.info(line, 'request');
}

async function sendError(
  caught: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const error = errorForWire(caught);
  if (error.code === 'PAYLOAD_TOO_LARGE') await discardBody(request.raw);
  if (error.status >= 500 && error.status !== 503) {
    request.log.error(faultFields(caught), 'a request failed');
    request.log.debug(faultDetail(caught), 'why');
  }
  const retryAfter = retryAfterSeconds(error);
  if (retryAfter !== undefined) reply.header('retry-after', String(retryAfter));
  const body = request.routeOptions?.config?.errorBody ?? errorBody;
  return reply.code(error.status).header('x-request-id', request.id).send(body(error));
}

/** Takes in what is still being sent, for a while: a client reads no answer before it has sent its body. */
async function discardBody(body: IncomingMessage): Promise<void> {
  if (body.readableEnded || body.destroyed) return;
  body.resume();
  const ends = ['end', 'close', 'error'].map((name) => new Promise((resolve) => body.once(name, resolve)));
  await Promise.race([...ends, delay(DISCARD_MS, undefined, { ref: false })]);
}

/** Bytes that are not HTTP never become a request; they get their answer on the bare socket. */
function refuseBrokenRequest(caught: Error & { code?: string }, socket: Socket): void {
  if (caught.code === 'ECONNRESET' || !socket.writable) return void socket.destroy();
  const tooLong = caught.code === 'HPE_HEADER_OVERFLOW';
  const [line, message] = tooLong
    ? ['431 Request Header Fields Too Large', 'The headers are too long.']
    : ['400 Bad Request', 'This is not an HTTP request.'];
  const body = JSON.stringify(errorBody(new StompError('INVALID_REQUEST', message)));
  socket.end(
    `HTTP/1.1 ${line}\r\nContent-Type: application/json; charset=utf-8\r\nConnection: close\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}

/** The client's own id, if it can stand in a header and a log line as it is. */
function requestId(request: IncomingMessage): string {
  const given = request.headers['x-request-id'];
  return typeof given === 'string' && /^[\w.:-]{1,128}$/.test(given) ? given : `req_${randomUUID()}`;
}

async function listen(
  app: FastifyInstance,
  { host = '127.0.0.1', port = 8000 }: ListenOptions,
): Promise<{ url: string; host: string; port: number }> {
  if (!isLoopback(host)) {
    throw new StompError(
      'INVALID_REQUEST',
      `Only loopback addresses are served, not ${host}: there are no API keys.`,
      {
        fields: { field: 'host', value: host, allowed: '127.0.0.1, ::1, localhost' },
      },
    );
  }
  try {
    await app.listen({ host, port });
  } catch (caught) {
    throw listenError(caught, host, port);
  }
  const bound = (app.server.address() as AddressInfo).port;
  const shown = host.includes(':') ? `[${host}]` : host;
  return { url: `http://${shown}:${bound}`, host, port: bound };
}

function listenError(caught: unknown, host: string, port: number): unknown {
  const code = (caught as { code?: unknown }).code;
  if (code === 'EADDRINUSE') {
    const message =
      `Port ${port} on ${host} is taken. Stop the program that has it, or choose another port ` +
      'with --port (0 takes a free one).';
    return new StompError('PORT_IN_USE', message, { cause: caught, fields: { field: 'port', value: port } });
  }
  if (code === 'EACCES' || code === 'EADDRNOTAVAIL') {
    const message = `Cannot listen on ${host}:${port} (${code}); choose a port above 1023 and a loopback address.`;
    return new StompError('INVALID_REQUEST', message, {
      cause: caught,
      fields: { field: 'port', value: port },
    });
  }
  return caught;
}

function closer(app: FastifyInstance, service: Service, timeoutMs: number): () => Promise<void> {
  let closing: Promise<void> | undefined;
  const hurry = new AbortController();
  const close = async (): Promise<void> => {
    const idle = service.drain();
    const waited = delay(timeoutMs, undefined, { signal: hurry.signal }).catch(() => undefined);
    await Promise.race([idle, waited]);
    hurry.abort();
    service.cancelTurns();
    await Promise.race([idle, delay(LAST_WORDS_MS, undefined, { ref: false })]);
    const closed = app.close();
    // Neither a client that no longer reads nor a connection without a request keeps the server from ending.
    await Promise.race([service.responses.idle(), delay(LAST_WORDS_MS, undefined, { ref: false })]);
    app.server.closeAllConnections();
    await closed;
  };
  return () => {
    if (closing) hurry.abort();
    else closing = close();
    return closing;
  };
}
