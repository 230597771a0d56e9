/** What happens at a server, as it happens, across connections that break. */
import { setTimeout as delay } from 'node:timers/promises';
import type { ClutchEvent } from '../../clutch/events/event.js';
import { StompError } from '../../errors.js';
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

async function* numbered(response: Response): AsyncGenerator<ClutchEvent, void> {
  const decoder = new TextDecoder();
  let left = '';
  for await (const chunk of response.body ?? []) {
    const messages = (left + decoder.decode(chunk as Uint8Array, { stream: true })).split('\n\n');
    left = messages.pop() ?? '';
    for (const message of messages) {
      const event = eventOf(message);
      if (event) yield event;
    }
  }
}

/** Those without a number are about the process. */
export function eventOf(message: string): ClutchEvent | undefined {
  const data = /^data: (.*)$/m.exec(message)?.[1];
  const isEvent = /^id: \d+$/m.test(message) && !/^event: snapshot$/m.test(message);
  return isEvent && data !== undefined ? (JSON.parse(data) as ClutchEvent) : undefined;
}
