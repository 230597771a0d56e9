/**
 * Runs one generation for one HTTP request, whole or as a stream, in whatever shape the protocol has.
 * A request that is refused before its first token gets an ordinary error status; after that, the error is
 * an event of the stream, which then ends without its closing mark.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Generation, GenerationChunk, GenerationResult, PromptUse, Usage } from '../engine/types.js';
import { StompError } from '../errors.js';
import { faultDetail, faultFields } from './fault-log.js';
import { type FieldNames, renamed } from './field-names.js';
import { openStream } from './open-stream.js';
import type { Service } from './service.js';
import { type SseEvent, sseText } from './sse.js';
import { errorForWire } from './wire-errors.js';

/** A stream opens after this even if no token is there, so that clients see a sign of life. */
const OPEN_AFTER_MS = 2000;

/** How a protocol words the answer of one request, which may hold several choices. May keep state. */
export interface AnswerFormat {
  whole(results: readonly GenerationResult[]): object;
  /** Called with every chunk before anything is made of it, of answers that are sent whole too. */
  seen?(chunk: GenerationChunk, choice: number): void;
  /** Events before the first piece of any choice. */
  opening(use: PromptUse): readonly SseEvent[];
  piece(chunk: GenerationChunk, choice: number): readonly SseEvent[];
  /** Events after the last piece of a choice. */
  ended(result: GenerationResult, choice: number): readonly SseEvent[];
  /** Events after everything, closing mark included. */
  closing(results: readonly GenerationResult[]): readonly SseEvent[];
  /** Ends a stream in the place of `closing`. */
  failure(error: StompError): SseEvent;
  /** Keeps a quiet stream open once it has begun; a comment where the protocol has no event for it. */
  readonly keepAlive?: SseEvent;
}

export interface Turn {
  readonly agentId: string;
  readonly stream: boolean;
  readonly format: AnswerFormat;
  /** How the request names what the engine may refuse. */
  readonly fieldNames?: FieldNames;
  /** Starts a generation for each choice. May throw what is wrong with the request. */
  start(signal: AbortSignal): readonly [Generation, ...Generation[]];
  /** Called once at the end, with the first choice; undefined when it failed. */
  settle?: ((answer: GenerationResult | undefined) => void) | undefined;
}

/** What the log says of a request; filled while it runs. */
export interface RequestNotes {
  /** Name of the API key. */
  key?: string;
  agent?: string;
  model?: string;
  finishReason?: string;
  promptTokens?: number;
  cachedTokens?: number;
  /** Why less was cached than hoped. */
  missReason?: string;
  generatedTokens?: number;
  queuedMs?: number;
  firstTokenMs?: number;
  /** When the generation began, by the clock of `performance`, and how long its phases took; for traces. */
  span?: Readonly<Record<'beganMs' | 'queuedMs' | 'firstTokenMs' | 'totalMs', number>>;
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
  let answer: GenerationResult | undefined;
  // What is needed of it was read; the turn may wait long.
  request.body = undefined;
  request.notes.agent = turn.agentId;
  reply.header('x-agent-id', turn.agentId);
  try {
    service.rates.agent(turn.agentId, reply);
    const generations = turn.start(controller.signal);
    const results = turn.stream
      ? await streamed(service, reply, turn, generations)
      : await whole(service, reply, turn, generations);
    answer = results[0];
    note(request, service, results, started);
    return reply;
  } catch (caught) {
    controller.abort(); // the other choices
    const reason = renamed(reasonOf(caught, controller.signal), turn.fieldNames ?? []);
    return failed(request, reply, turn.format, reason);
  } finally {
    service.metrics.turnEnded((performance.now() - started) / 1000);
    turn.settle?.(answer);
    service.endTurn(controller);
  }
}

async function whole(
  service: Service,
  reply: FastifyReply,
  { format }: Turn,
  generations: readonly Generation[],
): Promise<readonly GenerationResult[]> {
  const results = await Promise.all(
    generations.map(async (generation, choice) => {
      for await (const chunk of watched(generation, service)) format.seen?.(chunk, choice);
      return completed(generation);
    }),
  );
  void reply.send(format.whole(results));
  return results;
}

async function streamed(
  service: Service,
  reply: FastifyReply,
  { format }: Turn,
  generations: readonly [Generation, ...Generation[]],
): Promise<readonly GenerationResult[]> {
  const sources = generations.map((generation) => watched(generation, service));
  const firsts = sources.map((source) => source.next());
  await Promise.race([...firsts, delay(OPEN_AFTER_MS, undefined, { ref: false })]);
  const stream = openStream(reply, format.keepAlive);
  await stream.send(format.opening(await generations[0].started));
  stream.begun();
  const choose = async (generation: Generation, choice: number): Promise<GenerationResult> => {
    const source = sources[choice] as AsyncIterator<GenerationChunk>;
    for (let next = await firsts[choice]; next && !next.done; next = await source.next()) {
      format.seen?.(next.value, choice);
      await stream.send(format.piece(next.value, choice));
    }
    const result = await completed(generation);
    await stream.send(format.ended(result, choice));
    return result;
  };
  const results = await Promise.all(generations.map(choose));
  await stream.send(format.closing(results));
  stream.end();
  return results;
}

/** An answer that somebody else cut short, by deleting its agent for one, is no answer. */
async function completed(generation: Generation): Promise<GenerationResult> {
  const result = await generation.result;
  if (result.finishReason === 'cancelled') throw new StompError('CANCELLED', 'The answer was cancelled.');
  return result;
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

/** @param beganMs by the clock of `performance` */
function note(
  request: FastifyRequest,
  service: Service,
  results: readonly GenerationResult[],
  beganMs: number,
): void {
  for (const { usage } of results) service.metrics.usage(usage);
  const [first] = results;
  if (!first) return;
  Object.assign(request.notes, {
    finishReason: first.finishReason,
    promptTokens: first.usage.promptTokens,
    cachedTokens: first.usage.cachedTokens,
    generatedTokens: results.reduce((sum, { usage }) => sum + usage.generatedTokens, 0),
    queuedMs: Math.round(first.usage.queuedMs),
    firstTokenMs: Math.round(first.usage.firstTokenMs),
    span: { beganMs, ...spanOf(first.usage) },
    ...(first.usage.missReason === '' ? {} : { missReason: first.usage.missReason }),
  });
}

function spanOf({ queuedMs, firstTokenMs, totalMs }: Usage) {
  return { queuedMs, firstTokenMs, totalMs };
}

/** An aborted generation says CANCELLED; why it was aborted says more. */
export function reasonOf(caught: unknown, signal: AbortSignal): unknown {
  return signal.aborted && signal.reason instanceof StompError ? signal.reason : caught;
}

function failed(
  request: FastifyRequest,
  reply: FastifyReply,
  format: AnswerFormat,
  caught: unknown,
): FastifyReply {
  const error = errorForWire(caught);
  request.notes.status = error.status;
  request.notes.error = error.code;
  if (!reply.raw.headersSent && !reply.raw.destroyed) throw caught;
  if (error.status >= 500) {
    request.log.error(faultFields(caught), 'a generation failed');
    request.log.debug(faultDetail(caught), 'why');
  }
  if (!reply.sent) reply.hijack();
  const isOpen = !reply.raw.destroyed && !reply.raw.writableEnded;
  if (isOpen) reply.raw.end(sseText(format.failure(error)));
  return reply;
}
