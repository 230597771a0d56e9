/**
 * Runs one generation for one HTTP request, whole or as a stream, in whatever shape the protocol has.
 * A request that is refused before its first token gets an ordinary error status; after that, the error is
 * an event of the stream, which then ends without its closing mark.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Generation, GenerationChunk, GenerationResult } from '../engine/types.js';
import { StompError } from '../errors.js';
import type { Service } from './service.js';
import { SseStream } from './sse.js';
import { errorBody, errorForWire } from './wire-errors.js';

/** A stream opens after this even if no token is there, so that clients see a sign of life. */
const OPEN_AFTER_MS = 2000;
const KEEP_ALIVE_MS = 15_000;
const STALL_MS = 60_000;

/** How a protocol words an answer. */
export interface AnswerFormat {
  whole(result: GenerationResult): object;
  /** Events before the first text. */
  opening(): readonly object[];
  text(text: string): object;
  /** Events after the last text, closing mark included. */
  closing(result: GenerationResult): readonly (object | string)[];
}

export interface Turn {
  readonly agentId: string;
  readonly stream: boolean;
  readonly format: AnswerFormat;
  /** Starts the generation. May throw what is wrong with the request. */
  start(signal: AbortSignal): Generation;
  /** Called once at the end; undefined when it failed. */
  settle?: ((answer: string | undefined) => void) | undefined;
}

/** What the log says of a request; filled while it runs. */
export interface RequestNotes {
  agent?: string;
  finishReason?: string;
  promptTokens?: number;
  cachedTokens?: number;
  generatedTokens?: number;
  /** Replaces the status where a stream failed after its 200, or the client went away. */
  status?: number;
  error?: string;
}

declare module 'fastify' {
  interface FastifyRequest {
    notes: RequestNotes;
  }
}

/** Answers the request. Rejects with what belongs into an error response. */
export async function runTurn(
  service: Service,
  request: FastifyRequest,
  reply: FastifyReply,
  turn: Turn,
): Promise<FastifyReply> {
  const controller = service.beginTurn(reply.raw);
  const started = performance.now();
  let answer: string | undefined;
  request.notes.agent = turn.agentId;
  reply.header('x-agent-id', turn.agentId);
  try {
    const generation = turn.start(controller.signal);
    const source = watched(generation, service);
    const result = turn.stream
      ? await streamed(reply, turn, source, generation)
      : await whole(reply, turn, source, generation);
    answer = result.text;
    note(request, service, result);
    return reply;
  } catch (caught) {
    return failed(request, reply, reasonOf(caught, controller.signal));
  } finally {
    service.metrics.turnEnded((performance.now() - started) / 1000);
    turn.settle?.(answer);
    service.endTurn(controller);
  }
}

async function whole(
  reply: FastifyReply,
  turn: Turn,
  source: AsyncIterator<GenerationChunk>,
  generation: Generation,
): Promise<GenerationResult> {
  while (!(await source.next()).done);
  const result = await completed(generation);
  void reply.send(turn.format.whole(result));
  return result;
}

async function streamed(
  reply: FastifyReply,
  turn: Turn,
  source: AsyncIterator<GenerationChunk>,
  generation: Generation,
): Promise<GenerationResult> {
  const first = source.next();
  await Promise.race([first, delay(OPEN_AFTER_MS, undefined, { ref: false })]);
  const stream = openStream(reply);
  for (const event of turn.format.opening()) await stream.send(event);
  for (let next = await first; !next.done; next = await source.next()) {
    if (next.value.text !== '') await stream.send(turn.format.text(next.value.text));
  }
  const result = await completed(generation);
  for (const event of turn.format.closing(result)) await stream.send(event);
  stream.end();
  return result;
}

/** An answer that somebody else cut short, by deleting its agent for one, is no answer. */
async function completed(generation: Generation): Promise<GenerationResult> {
  const result = await generation.result;
  if (result.finishReason === 'cancelled') throw new StompError('CANCELLED', 'The answer was cancelled.');
  return result;
}

function openStream(reply: FastifyReply): SseStream {
  const headers = Object.fromEntries(
    Object.entries(reply.getHeaders()).map(([name, value]) => [name, String(value)]),
  );
  reply.hijack();
  return new SseStream(reply.raw, headers, { keepAliveMs: KEEP_ALIVE_MS, stallMs: STALL_MS });
}

/** The chunks of a generation, counted on their way. */
async function* watched(generation: Generation, service: Service): AsyncGenerator<GenerationChunk, void> {
  let last: number | undefined;
  for await (const chunk of generation) {
    const now = performance.now();
    service.metrics.tokensArrived(chunk.tokens.length, last === undefined ? undefined : (now - last) / 1000);
    last = now;
    yield chunk;
  }
}

function note(request: FastifyRequest, service: Service, result: GenerationResult): void {
  const { usage } = result;
  service.metrics.usage(usage);
  Object.assign(request.notes, {
    finishReason: result.finishReason,
    promptTokens: usage.promptTokens,
    cachedTokens: usage.cachedTokens,
    generatedTokens: usage.generatedTokens,
  });
}

/** An aborted generation says CANCELLED; why it was aborted says more. */
export function reasonOf(caught: unknown, signal: AbortSignal): unknown {
  return signal.aborted && signal.reason instanceof StompError ? signal.reason : caught;
}

function failed(request: FastifyRequest, reply: FastifyReply, caught: unknown): FastifyReply {
  const error = errorForWire(caught);
  request.notes.status = error.status;
  request.notes.error = error.code;
  if (!reply.raw.headersSent && !reply.raw.destroyed) throw caught;
  if (error.status >= 500) request.log.error({ err: caught }, 'a generation failed');
  if (!reply.sent) reply.hijack();
  const isOpen = !reply.raw.destroyed && !reply.raw.writableEnded;
  if (isOpen) reply.raw.end(`data: ${JSON.stringify(errorBody(error))}\n\n`);
  return reply;
}
