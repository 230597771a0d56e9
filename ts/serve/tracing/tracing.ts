/**
 * OpenTelemetry traces, sent over OTLP. Loaded only where traces are wanted. Nothing of it is global, and no failure
 * of a collector reaches a request: spans that cannot be sent are dropped.
 */
import { setTimeout as delay } from 'node:timers/promises';
import {
  type Attributes,
  type Context,
  createTraceState,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import {
  defaultResource,
  detectResources,
  envDetector,
  resourceFromAttributes,
} from '@opentelemetry/resources';
import { BasicTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-base';
import { packageVersion } from '../../version.js';
import type { TraceParent } from './trace-parent.js';

/** What a span says of a generation. Times in milliseconds since the epoch. */
export interface GenerationPhases {
  readonly beganMs: number;
  readonly queuedMs: number;
  readonly firstTokenMs: number;
  readonly totalMs: number;
}

/** How a request ended. */
export interface RequestEnd {
  readonly atMs: number;
  readonly status: number;
  readonly attributes: Attributes;
  /** A code of `StompError`. */
  readonly error: string | undefined;
  readonly phases: GenerationPhases | undefined;
}

/** How long the last spans may take when the server stops. */
const FLUSH_MS = 2000;

export class Tracing {
  readonly #provider: BasicTracerProvider;
  readonly #tracer: Tracer;

  /** @param url of the collector, path included */
  constructor(url: string) {
    const ours = resourceFromAttributes({
      'service.name': 'stomp-serve',
      'service.version': packageVersion(),
    });
    this.#provider = new BasicTracerProvider({
      // What the environment says of the service goes before.
      resource: defaultResource()
        .merge(ours)
        .merge(detectResources({ detectors: [envDetector] })),
      spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter({ url }))],
    });
    this.#tracer = this.#provider.getTracer('stomp-serve', packageVersion());
  }

  begin(name: string, atMs: number, attributes: Attributes, parent: TraceParent | undefined): RequestSpan {
    const options = { kind: SpanKind.SERVER, startTime: atMs, attributes };
    const span = this.#tracer.startSpan(name, options, remote(parent));
    return new RequestSpan(this.#tracer, span);
  }

  /** Sends what there is, if that can be done soon. Never rejects. */
  async close(): Promise<void> {
    const sent = this.#provider.shutdown().catch(() => undefined);
    await Promise.race([sent, delay(FLUSH_MS, undefined, { ref: false })]);
  }
}

/** The span of one request. */
export class RequestSpan {
  readonly #tracer: Tracer;
  readonly #span: Span;

  constructor(tracer: Tracer, span: Span) {
    this.#tracer = tracer;
    this.#span = span;
  }

  /** For the log. */
  get traceId(): string {
    return this.#span.spanContext().traceId;
  }

  /** Call once. */
  end({ atMs, status, attributes, error, phases }: RequestEnd): void {
    this.#span.setAttributes({ ...attributes, 'http.response.status_code': status });
    if (error !== undefined) this.#span.setAttribute('error.type', error);
    // What a client did wrong is no failure of this server.
    if (status >= 500) this.#span.setStatus({ code: SpanStatusCode.ERROR });
    if (phases) this.#phases(phases, atMs);
    this.#span.end(atMs);
  }

  #phases({ beganMs, queuedMs, firstTokenMs, totalMs }: GenerationPhases, endMs: number): void {
    const context = trace.setSpan(ROOT_CONTEXT, this.#span);
    // The engine has a clock of its own; children stay within their parent.
    const at = (ms: number): number => Math.min(beganMs + ms, endMs);
    const first = Math.max(queuedMs, firstTokenMs);
    this.#child('queue', at(0), at(queuedMs), context);
    this.#child('prefill', at(queuedMs), at(first), context);
    this.#child('decode', at(first), at(Math.max(first, totalMs)), context);
  }

  #child(name: string, startTime: number, endMs: number, context: Context): void {
    this.#tracer.startSpan(name, { startTime }, context).end(endMs);
  }
}

function remote(parent: TraceParent | undefined): Context {
  if (!parent) return ROOT_CONTEXT;
  const { traceState, ...ids } = parent;
  const state = traceState === '' ? {} : { traceState: createTraceState(traceState) };
  return trace.setSpanContext(ROOT_CONTEXT, { ...ids, ...state, isRemote: true });
}
