/** Doubles of providers: an HTTP server that answers what it is told, a clock that nobody waits for, requests. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach } from 'vitest';
import {
  openProvider,
  type ProviderOptions,
  type ProviderSystems,
} from '../../../../ts/clutch/providers/open-provider.js';
import type {
  Provider,
  ProviderAnswer,
  ProviderEvent,
  ProviderRequest,
  ProviderUsage,
} from '../../../../ts/clutch/providers/provider.js';
import type { RetryClock } from '../../../../ts/clutch/providers/retry.js';

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  // biome-ignore lint/suspicious/noExplicitAny: bodies of many shapes, which tests compare
  readonly body: any;
}

export type Reply = (response: ServerResponse, asked: Asked) => void;

const cleanUps: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

export class HttpDouble {
  readonly asked: Asked[] = [];
  readonly #replies: Reply[];
  url = '';

  private constructor(replies: readonly Reply[]) {
    this.#replies = [...replies];
  }

  /** @param replies one for each request, the last one for all that follow */
  static async start(...replies: readonly Reply[]): Promise<HttpDouble> {
    const double = new HttpDouble(replies);
    const server = createServer((request, response) => {
      let text = '';
      request.on('data', (chunk) => (text += chunk));
      request.on('end', () => double.#answer(request, text, response));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    double.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    cleanUps.push(async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    });
    return double;
  }

  #answer(request: IncomingMessage, text: string, response: ServerResponse): void {
    const { method = '', url: path = '', headers } = request;
    const asked = { method, path, headers, body: text === '' ? undefined : JSON.parse(text) };
    this.asked.push(asked);
    const reply = this.#replies.length > 1 ? this.#replies.shift() : this.#replies[0];
    reply?.(response, asked);
  }
}

/** Server-sent events; a string is written as it is. */
export function events(list: readonly (object | string)[], end: 'end' | 'cut' | 'hang' = 'end'): Reply {
  return (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (const event of list) response.write(frame(event));
    if (end === 'end') response.end();
    // After what was written has gone out.
    if (end === 'cut') setImmediate(() => response.socket?.destroy());
  };
}

function frame(event: object | string): string {
  if (typeof event === 'string') return `data: ${event}\n\n`;
  const name = 'type' in event ? `event: ${String(event.type)}\n` : '';
  return `${name}data: ${JSON.stringify(event)}\n\n`;
}

export function json(status: number, body: object, headers: Record<string, string> = {}): Reply {
  return (response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(JSON.stringify(body));
  };
}

/** Passes the time that is slept, and remembers it. */
export class InstantClock implements RetryClock {
  readonly slept: number[] = [];
  #nowMs = Date.UTC(2026, 0, 1);

  now(): number {
    return this.#nowMs;
  }

  async sleep(ms: number): Promise<void> {
    this.slept.push(ms);
    this.#nowMs += ms;
  }

  pass(ms: number): void {
    this.#nowMs += ms;
  }

  random(): number {
    return 0;
  }
}

/** Closed after the test. */
export function open(name: string, options: ProviderOptions = {}, systems: ProviderSystems = {}): Provider {
  const provider = openProvider(name, options, { environment: {}, clock: new InstantClock(), ...systems });
  cleanUps.push(() => provider.close());
  return provider;
}

/** What a double says that says "It " and then "rains.". */
export const rainEvents: ProviderEvent[] = [
  { type: 'text', text: 'It ' },
  { type: 'text', text: 'rains.' },
];

/** The answer that it comes to. */
export function rain(usage: ProviderUsage): ProviderAnswer {
  return { text: 'It rains.', reasoning: '', calls: [], finish: 'stop', usage };
}

export const weather = {
  name: 'get_weather',
  description: 'Weather of a city',
  parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
};

export function request(fields: Partial<ProviderRequest> = {}): ProviderRequest {
  return {
    model: 'm',
    system: 'Be brief.',
    context: [],
    messages: [{ role: 'user', text: 'Hello' }],
    tools: [],
    temperature: 0,
    maxTokens: 100,
    agentId: 'ada',
    signal: new AbortController().signal,
    ...fields,
  };
}

/** Listens to a request. */
export function listener(): { heard: ProviderEvent[]; onEvent: (event: ProviderEvent) => void } {
  const heard: ProviderEvent[] = [];
  return { heard, onEvent: (event) => heard.push(event) };
}

export const deaf = (): undefined => undefined;
