/** One span for each request, from its headers to the end of its response. */
import type { Attributes } from '@opentelemetry/api';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { StompError } from '../../errors.js';
import type { RequestNotes } from '../turn.js';
import { traceParent } from './trace-parent.js';
import type { GenerationPhases, RequestSpan, Tracing } from './tracing.js';

/** Where the traces of a server go. */
export interface TracingOptions {
  /** Where spans go, over OTLP in JSON: `http://localhost:4318/v1/traces`. */
  readonly url: string;
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Undefined where requests are not traced. */
    span?: RequestSpan | undefined;
  }
}

/**
 * REQUIRES: called before other hooks are added, so that refused requests are seen as well.
 * @throws StompError INVALID_REQUEST
 */
export function traceRequests(app: FastifyInstance, { url }: TracingOptions): void {
  checkUrl(url);
  const opened = open(app, url);
  app.addHook('onRequest', async (request, reply) => {
    const route = request.routeOptions.url;
    if (isWatching(route)) return;
    const beganMs = nowMs();
    const tracing = await opened;
    if (!tracing) return;
    const name = route === undefined ? request.method : `${request.method} ${route}`;
    const span = tracing.begin(name, beganMs, requestAttributes(request), traceParent(request.headers));
    request.span = span;
    reply.raw.once('close', () => end(span, request, reply));
  });
  app.addHook('onClose', async () => (await opened)?.close());
}

/** The server serves without traces if they cannot be had. */
async function open(app: FastifyInstance, url: string): Promise<Tracing | undefined> {
  try {
    const { Tracing } = await import('./tracing.js');
    return new Tracing(url);
  } catch (error) {
    app.log.error({ err: error }, 'requests are not traced');
    return undefined;
  }
}

/** What looks at the server does not belong in the traces of its work. */
function isWatching(route: string | undefined): boolean {
  return route !== undefined && (route.startsWith('/health') || route === '/metrics');
}

function end(span: RequestSpan, request: FastifyRequest, reply: FastifyReply): void {
  const notes: RequestNotes = request.notes ?? {};
  const isWhole = reply.raw.writableFinished;
  const { error = errorOf(reply.raw.statusCode) } = notes;
  span.end({
    atMs: nowMs(),
    status: isWhole ? (notes.status ?? reply.raw.statusCode) : 499,
    attributes: answerAttributes(notes, request.routeOptions.url),
    error: isWhole ? error : 'CANCELLED',
    phases: phases(notes),
  });
}

/** No query and no path as it came: both may hold what somebody said. */
function requestAttributes({ method, protocol, routeOptions, raw, hostname, port }: FastifyRequest) {
  const { url } = routeOptions;
  return {
    'http.request.method': method,
    'url.scheme': protocol,
    'network.protocol.version': raw.httpVersion,
    'server.address': hostname,
    ...(port === null || Number.isNaN(port) ? {} : { 'server.port': port }),
    ...(url === undefined ? {} : { 'http.route': url }),
  };
}

function answerAttributes(notes: RequestNotes, route = ''): Attributes {
  const { agent, model, promptTokens, cachedTokens, generatedTokens, finishReason, missReason } = notes;
  const who = agent === undefined ? {} : { 'gen_ai.agent.id': agent };
  if (model === undefined || promptTokens === undefined) return who;
  return {
    ...who,
    'gen_ai.operation.name': route === '/v1/completions' ? 'text_completion' : 'chat',
    'gen_ai.provider.name': 'stomp-serve',
    'gen_ai.request.model': model,
    'gen_ai.response.model': model,
    'gen_ai.response.finish_reasons': finishReason === undefined ? [] : [finishReason],
    'gen_ai.usage.input_tokens': promptTokens,
    'gen_ai.usage.output_tokens': generatedTokens,
    'gen_ai.usage.cache_read.input_tokens': cachedTokens,
    'stomp.cache.miss_reason': missReason,
  };
}

function phases({ span }: RequestNotes): GenerationPhases | undefined {
  return span && { ...span, beganMs: performance.timeOrigin + span.beganMs };
}

function errorOf(status: number): string | undefined {
  return status >= 400 ? String(status) : undefined;
}

function nowMs(): number {
  return performance.timeOrigin + performance.now();
}

function checkUrl(url: string): void {
  const protocol = URL.canParse(url) ? new URL(url).protocol : '';
  if (protocol === 'http:' || protocol === 'https:') return;
  throw new StompError(
    'INVALID_REQUEST',
    `The collector of traces must be an http or https URL, not ${url}.`,
    {
      fields: { field: 'tracing.url', value: url, allowed: 'http://… or https://…' },
    },
  );
}
