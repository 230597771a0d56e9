/**
 * The HTTP server: routes, limits, errors, logs. `createServer` does not own the engine or the registry: whoever
 * opened it closes it, after the server.
 */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import Fastify, {
  type FastifyInstance,
  type FastifyPluginAsync,
  type FastifyReply,
  type FastifyRequest,
  LogController,
} from 'fastify';
import type { Clutch } from '../clutch/clutch.js';
import type { AgentContextManager } from '../context/index.js';
import { StompError } from '../errors.js';
import type { DocgenGuard, FileGuard, Maasl } from '../guard/index.js';
import { loopTurn } from '../loop-turn.js';
import type { Reservations } from '../reservations/index.js';
import { limitConnections, transportOptions } from './access/connections.js';
import { Gate, type GateOptions } from './access/gate.js';
import { admin } from './admin/admin.js';
import { agents } from './agents/agents.js';
import { generate } from './agents/generate.js';
import { anthropicErrorBody } from './anthropic/error-body.js';
import { messages } from './anthropic/messages.js';
import { type EngineSource, FixedEngine, isRegistry, type ServedRegistry } from './engine-source.js';
import { faultDetail, faultFields } from './fault-log.js';
import { health } from './health.js';
import { parseJsonBody } from './json-body.js';
import { type ListenOptions, listen } from './listen.js';
import { Metrics } from './metrics.js';
import { metrics } from './metrics-route.js';
import { fastifyPlugin, type RequestHandler, requestHandler, unreadBody } from './mount.js';
import { chatCompletions } from './openai/chat-completions.js';
import { completions } from './openai/completions.js';
import { models } from './openai/models.js';
import { adminModelPaths, adminPaths, adminSchemas } from './openapi/paths/admin.js';
import { agentPaths, agentSchemas } from './openapi/paths/agents.js';
import { anthropicPaths, anthropicSchemas } from './openapi/paths/anthropic.js';
import { openaiPaths, openaiSchemas } from './openapi/paths/openai.js';
import { watchPaths } from './openapi/paths/watch.js';
import { openApi } from './openapi/routes.js';
import type { ResourceOptions } from './resource.js';
import { type Phase, type ServedEngine, Service } from './service.js';
import type { Systems } from './tools/tools.js';
import { type TracingOptions, traceRequests } from './tracing/trace-requests.js';
import type { RequestNotes } from './turn.js';
import { errorBody, errorForWire, retryAfterSeconds } from './wire-errors.js';

/** A stomp guard to offer over HTTP and MCP. Whoever opened it closes it, after the server. */
export interface GuardServices {
  maasl: Maasl;
  files: FileGuard;
  docgen?: Pick<DocgenGuard, 'status'>;
}

/** What to serve besides the engine, to whom, and within which limits. */
export interface ServerOptions extends GateOptions {
  /** Name under which an engine is served; a registry names its models itself. @default the name it was loaded by */
  model?: string;
  /** Other names that requests may use for it; with a `*` at the end, all that begin so. */
  aliases?: readonly string[];
  /** Largest request body. @default 32 MB */
  bodyLimitBytes?: number;
  /** How long `close()` lets running requests go on. @default 30000 */
  shutdownTimeoutMs?: number;
  /** Adds `/v1/locks`, `/v1/tools`, `/v1/stomp/stats`, `/v1/docgen/status`, `/mcp` and the guard's metrics. */
  guard?: GuardServices;
  /**
   * Adds `/v1/projects`, `/v1/agents/{id}/project`, `/v1/agents/{id}/sessions`, `/v1/context/…`, their tools and the
   * context's metrics. Whoever opened it closes it, after the server and before its guard.
   */
  context?: AgentContextManager;
  /**
   * Adds `/v1/reservations`, `/v1/intents`, `/v1/forecast`, `/v1/merge-plan`, `/v1/reconcile`, `/v1/shards`,
   * `/v1/impact` and their tools. Whoever opened it closes it, after the server and before its guard. Instead, why
   * there are none: these paths then answer that.
   */
  reservations?: Reservations | StompError;
  /**
   * Adds `/v1/runs`, `/v1/approvals`, `/v1/rules`, `/v1/state`, `/v1/events`, their tools, and the dashboard at `/ui/`.
   * Whoever opened it closes it, after the server and before its guard. Approvals are decided with keys of the role
   * `approver`, or with `approverToken`.
   */
  clutch?: Clutch;
  /** Asks the person behind an MCP client for decisions, where the client can. @default false */
  elicitApprovals?: boolean;
  /** Folder of the dashboard. @default that of the build */
  dashboardFolder?: string;
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

/** A server, not yet listening. */
export interface StompServer {
  /** For routes and plug-ins of your own; add them before `listen` or `handler`. */
  readonly app: FastifyInstance;
  readonly phase: Phase;
  /** Requests that are generating, or work at the guard, now. */
  readonly runningTurns: number;
  /** Handles one request of a server of yours, with the path that `request.url` says. */
  readonly handler: RequestHandler;
  /** The same for a Fastify application, at any prefix. Closing the application closes this server. */
  readonly plugin: FastifyPluginAsync;
  /** @throws StompError PORT_IN_USE, INVALID_REQUEST, CONFIG_INVALID */
  listen(options?: ListenOptions): Promise<{ url: string; host: string; port: number }>;
  /**
   * Refuses new requests, waits for the running ones up to the time-out, cancels the rest, stops listening.
   * A second call cancels at once.
   */
  close(): Promise<void>;
}

/** A conversation of a million tokens has 4 to 8 MB. */
const BODY_LIMIT_BYTES = 32 << 20;
const SHUTDOWN_TIMEOUT_MS = 30_000;
/** That of an engine that was told nothing else. */
const MAX_QUEUE = 256;
const ROUTES = [chatCompletions, completions, messages, models, agents, generate, metrics, openApi];
const DISCARD_MS = 2000;
/** For cancelled answers to say so, and for clients to read it. */
const LAST_WORDS_MS = 2000;

/**
 * @param engine a loaded engine, or one that is being loaded: until it is there, requests get 503 and
 *   `/health/startup` says so. Or a registry, whose models can be exchanged while the server runs.
 * @throws StompError CONFIG_INVALID; INVALID_REQUEST when a registry comes with a name for its model.
 */
export function createServer(
  engine: ServedEngine | Promise<ServedEngine> | ServedRegistry,
  options: ServerOptions = {},
): StompServer {
  const gate = new Gate(options);
  const source = sourceOf(engine, options);
  const service = new Service(source, new Metrics(), gate.rates, isRegistry(source) ? options.aliases : []);
  const app = createApp(options, gate);
  if (options.tracing) traceRequests(app, options.tracing);
  addHooks(app, service);
  gate.guard(app);
  refuseWhileDraining(app, service);
  holdEngine(app, service);
  logChanges(app, service);
  for (const route of ROUTES) route(app, service);
  admin(app, service, { batchWindowMs: options.batchWindowMs ?? 0 });
  health(app, service, { maxQueue: options.maxQueue ?? MAX_QUEUE });
  service.described.push({
    groups: [
      openaiPaths,
      anthropicPaths,
      agentPaths,
      adminPaths,
      ...(isRegistry(source) ? [adminModelPaths] : []),
      watchPaths,
    ],
    schemas: { ...openaiSchemas, ...anthropicSchemas, ...agentSchemas, ...adminSchemas },
  });
  addSystems(app, service, options);
  const close = closer(app, service, options.shutdownTimeoutMs ?? SHUTDOWN_TIMEOUT_MS);
  const handler = requestHandler(app);
  return {
    app,
    get phase() {
      return service.phase;
    },
    get runningTurns() {
      return service.runningTurns;
    },
    handler,
    plugin: fastifyPlugin(handler, close),
    listen: (where) => listen(app, gate, where ?? {}),
    close,
  };
}

function sourceOf(
  engine: ServedEngine | Promise<ServedEngine> | ServedRegistry,
  { model, aliases }: ServerOptions,
): EngineSource {
  if (!('acquire' in engine))
    return new FixedEngine(engine, { model: model || undefined, aliases: aliases ?? [] });
  if (model === undefined) return engine;
  throw new StompError('INVALID_REQUEST', 'A registry names its models; leave `model` out.', {
    fields: { field: 'model' },
  });
}

/** Loaded when there are any: without, nobody needs MCP. */
function addSystems(app: FastifyInstance, service: Service, options: ServerOptions): void {
  const { guard, context, reservations, clutch, dashboardFolder } = options;
  const runs = clutch && { clutch, elicitApprovals: options.elicitApprovals ?? false };
  const systems: Systems = { guard, context, reservations, runs };
  if (Object.values(systems).some((system) => system !== undefined))
    app.register(async (scope) => (await import('./tools/tools.js')).tools(scope, service, systems));
  if (!clutch) return;
  app.register(async (scope) =>
    (await import('./clutch/clutch-routes.js')).clutchRoutes(scope, service, clutch),
  );
  app.register(async (scope) => (await import('./dashboard/dashboard.js')).dashboard(scope, dashboardFolder));
}

function createApp(options: ServerOptions, gate: Gate): FastifyInstance {
  const app = Fastify({
    ...transportOptions(options.connections ?? {}),
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
    clientErrorHandler: (error, socket) => gate.connections.refuse(error, socket),
  });
  app.decorate('resources', new Map());
  limitConnections(app.server, options.connections ?? {});
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', async (request: FastifyRequest, payload: IncomingMessage) =>
    parseJsonBody(await gate.bodies.read(request.raw, payload, request.routeOptions.bodyLimit)),
  );
  app.setErrorHandler(sendError);
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?')[0]?.slice(0, 200);
    const error = new StompError(
      'NOT_FOUND',
      `There is no ${path} here; /openapi.json lists what there is, and /docs shows it.`,
      {
        fields: { field: 'path', value: path },
      },
    );
    return sendError(error, request, reply);
  });
  return app;
}

function addHooks(app: FastifyInstance, service: Service): void {
  app.decorateRequest('notes', null as never);
  app.addHook('onRequest', async (request, reply) => {
    request.notes = {};
    reply.headers(requestIds(request.id));
    const started = performance.now();
    service.responses.begin();
    reply.raw.once('close', () => service.responses.end());
    reply.raw.once('close', () => finished(service, request, reply, performance.now() - started));
    if (service.phase === 'draining') reply.header('connection', 'close');
  });
  app.addHook('preParsing', async (request, _, payload) => unreadBody(request.raw, payload));
}

/** After the gate: who may not ask is told nothing. Once more when the body is there, which may have taken long. */
function refuseWhileDraining(app: FastifyInstance, service: Service): void {
  const refuse = async (request: FastifyRequest): Promise<void> => {
    // The route's own path: that of the request may be spelt with escapes.
    if (isApi(request.routeOptions.url ?? request.url)) service.refuseWhileDraining();
  };
  app.addHook('onRequest', refuse);
  app.addHook('preHandler', refuse);
}

/**
 * Routes that work on the engine hold it from before their handler runs until their response is sent. The rest of
 * the request then runs inside of `hold`, which is why this hook has a callback.
 */
function holdEngine(app: FastifyInstance, service: Service): void {
  app.addHook('onRequest', async (request) => {
    if (usesEngine(request.routeOptions.url ?? '')) await loopTurn();
  });
  app.addHook('preHandler', (request, reply, done) => {
    const route = request.routeOptions.url ?? '';
    if (!usesEngine(route) || (isAgentList(request.method, route) && service.knowsAgents)) return done();
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

/** What is asked often, by those who only watch: no reason to keep or bring a model. */
function isAgentList(method: string, route: string): boolean {
  return /^(GET|HEAD)$/.test(method) && /^\/v1\/agents(\/:id)?$/.test(route);
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
  if (request.notes?.agent !== undefined) reply.header('x-agent-id', request.notes.agent);
  const body = request.routeOptions?.config?.errorBody ?? wordingBelow(request.url);
  return reply
    .code(error.status)
    .headers(requestIds(request.id))
    .send(body === errorBody ? { ...errorBody(error), ...agentOf(request) } : body(error, request.id));
}

/** Clients of a protocol try paths of it that are not served, and read the refusal as they read any other. */
function wordingBelow(path: string): NonNullable<ResourceOptions['errorBody']> {
  return path.startsWith('/v1/messages/') ? anthropicErrorBody : errorBody;
}

/** Notes are not yet there when a request fails before its first hook. */
function agentOf(request: FastifyRequest): { agent_id?: string } {
  const agent = (request.notes as RequestNotes | null)?.agent;
  return agent === undefined ? {} : { agent_id: agent };
}

/** Takes in what is still being sent, for a while: a client reads no answer before it has sent its body. */
async function discardBody(body: IncomingMessage): Promise<void> {
  if (body.readableEnded || body.destroyed) return;
  body.resume();
  const ends = ['end', 'close', 'error'].map((name) => new Promise((resolve) => body.once(name, resolve)));
  await Promise.race([...ends, delay(DISCARD_MS, undefined, { ref: false })]);
}

/** By the names under which OpenAI's and Anthropic's clients look for it. */
function requestIds(id: string): Record<string, string> {
  return { 'x-request-id': id, 'request-id': id };
}

/** The client's own id, if it can stand in a header and a log line as it is. */
function requestId(request: IncomingMessage): string {
  const given = request.headers['x-request-id'];
  return typeof given === 'string' && /^[\w.:-]{1,128}$/.test(given) ? given : `req_${randomUUID()}`;
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
