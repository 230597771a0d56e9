/** Turns the answer to a request into a stream of server-sent events. */
import type { FastifyReply } from 'fastify';
import { type SseEvent, SseStream } from './sse.js';

const KEEP_ALIVE_MS = 15_000;
const STALL_MS = 60_000;

/** From here on the answer is the stream's; what headers it was given go out with it. */
export function openStream(reply: FastifyReply, keepAlive?: SseEvent): SseStream {
  const headers = Object.fromEntries(
    Object.entries(reply.getHeaders()).map(([name, value]) => [name, String(value)]),
  );
  reply.hijack();
  return new SseStream(reply.raw, headers, { keepAliveMs: KEEP_ALIVE_MS, stallMs: STALL_MS, keepAlive });
}
