/** What happens at a server, as it happens, across connections that break. */
import { setTimeout as delay } from 'node:timers/promises';
import type { ClutchEvent } from '../../clutch/events/event.js';
import { StompError } from '../../errors.js';
import { readSse } from '../../sse-reader.js';
import type { ClutchClient } from './client.js';

const retryMs = 1000;
const mostTries = 30;
/** Nobody answers at the moment. */
const passing: readonly StompError['code'][] = ['NOT_FOUND', 'SHUTTING_DOWN', 'ENGINE_UNAVAILABLE'];

/** Ends when the server stays away. @throws what the signal gives as its reason */
export async function* eventsOf(
  client: ClutchClient,
  after: number,
  signal: AbortSignal,
): AsyncGenerator<ClutchEvent, void> {
  let seq = after;
  for (let tries = 0; tries < mostTries; tries++) {
    try {
      const response = await client.open('GET', `/v1/events?after=${seq}`, undefined, signal);
      for await (const event of numbered(response)) {
        tries = 0;
        ({ seq } = event);
        yield event;
      }
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof StompError && !passing.includes(error.code)) throw error;
    }
    await delay(retryMs, undefined, { signal });
  }
}

/** Those that have a number; the others are about the process, or say again how everything is. */
async function* numbered({ body }: Response): AsyncGenerator<ClutchEvent, void> {
  if (!body) return;
  for await (const { event, data } of readSse(body)) {
    if (event !== 'system' && event !== 'snapshot') yield JSON.parse(data) as ClutchEvent;
  }
}
