/**
 * `GET /v1/events`: all that happens, as it happens. A client that comes back says where it was and misses nothing; one
 * that was never there, or away for too long, is first told how everything is.
 */
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Clutch } from '../../clutch/clutch.js';
import { StompError } from '../../errors.js';
import { type ObjectSchema, readArguments } from '../../tools/parameters.js';
import { faultDetail, faultFields } from '../fault-log.js';
import { openStream } from '../open-stream.js';
import type { Handler } from '../resource.js';
import type { Service } from '../service.js';
import type { SseEvent, SseStream } from '../sse.js';
import { queryArguments } from '../tools/query-arguments.js';

const systemMs = 1000;

/** No work of the server: it ends as soon as the server shuts down. */
export function eventStream(service: Service, clutch: Clutch): Handler {
  return async (request, reply) => {
    const after = afterOf(request);
    if (request.method === 'HEAD') return reply.type('text/event-stream; charset=utf-8').send();
    await stream(service, clutch, after, request, reply);
    return reply;
  };
}

const schema = {
  type: 'object',
  properties: {
    after: {
      type: 'integer',
      description: 'The number of the last event that is known',
      minimum: 0,
      maximum: Number.MAX_SAFE_INTEGER,
    },
  },
  required: [],
  additionalProperties: false,
} as const satisfies ObjectSchema;

/** What a browser that connects again says goes before what its address has said from the beginning. */
function afterOf({ headers, query }: FastifyRequest): number | undefined {
  const said = headers['last-event-id'];
  const words = query as Record<string, string | readonly string[]>;
  const asked = typeof said === 'string' && said !== '' ? { ...words, after: said } : words;
  return readArguments(schema, queryArguments(schema, asked)).after;
}

async function stream(
  service: Service,
  clutch: Clutch,
  after: number | undefined,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<void> {
  const over = new AbortController();
  const end = () => over.abort();
  const { shutdown } = service;
  const sse = openStream(reply);
  reply.raw.once('close', end);
  // By hand: what `AbortSignal.any` makes of a signal that lives as long as the server would add up.
  shutdown.addEventListener('abort', end, { once: true });
  if (shutdown.aborted || reply.raw.destroyed) end();
  const system = setInterval(() => tellSystem(clutch, sse), systemMs).unref();
  try {
    for await (const event of happenings(clutch, after, over.signal)) await sse.send([event]);
  } catch (error) {
    // The client comes back for the rest.
    if (!over.signal.aborted) {
      request.log.error(faultFields(error), 'a stream of events broke off');
      request.log.debug(faultDetail(error), 'why');
    }
  } finally {
    clearInterval(system);
    shutdown.removeEventListener('abort', end);
    sse.end();
  }
}

/** Figures have no number: who has missed some has missed nothing. */
function tellSystem(clutch: Clutch, sse: SseStream): void {
  const { system } = clutch.state.snapshot();
  if (system !== undefined) sse.offer({ event: 'system', data: system });
}

async function* happenings(
  clutch: Clutch,
  after: number | undefined,
  signal: AbortSignal,
): AsyncGenerator<SseEvent, void> {
  try {
    if (after !== undefined) return yield* numbered(clutch, after, signal);
  } catch (error) {
    if (!isGone(error)) throw error;
  }
  const state = clutch.state.snapshot();
  yield { id: state.seq, event: 'snapshot', data: state };
  yield* numbered(clutch, state.seq, signal);
}

async function* numbered(clutch: Clutch, after: number, signal: AbortSignal): AsyncGenerator<SseEvent, void> {
  for await (const event of clutch.bus.follow(after, signal))
    yield { id: event.seq, event: event.type, data: event };
}

/** What the client knows is too old to go on from, or of another database. */
function isGone(error: unknown): boolean {
  return error instanceof StompError && error.code === 'EVENTS_GONE';
}
