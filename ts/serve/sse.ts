/**
 * One stream of server-sent events to one client. The socket's own buffer is the only queue: a client
 * that falls further behind than the limit loses its connection, and with it its generation.
 */
import type { ServerResponse } from 'node:http';

export interface SseOptions {
  /** Bytes that may wait for a slow reader. */
  readonly limitBytes: number;
  /** A comment goes out at this interval, so that proxies keep a quiet stream open. */
  readonly keepAliveMs: number;
}

export class SseStream {
  readonly #response: ServerResponse;
  readonly #limitBytes: number;
  readonly #keepAlive: NodeJS.Timeout;

  /** Sends status 200 and the headers. REQUIRES: nothing was sent on `response`. */
  constructor(response: ServerResponse, headers: Readonly<Record<string, string>>, options: SseOptions) {
    this.#response = response;
    this.#limitBytes = options.limitBytes;
    response.writeHead(200, {
      ...headers,
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache, no-transform',
      'x-accel-buffering': 'no',
    });
    response.flushHeaders();
    this.#keepAlive = setInterval(() => this.#write(': keep-alive\n\n'), options.keepAliveMs);
    this.#keepAlive.unref();
    response.once('close', () => clearInterval(this.#keepAlive));
  }

  /** One event; objects become JSON. Does nothing once the client has gone. */
  send(data: object | string): void {
    this.#write(`data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`);
  }

  end(): void {
    clearInterval(this.#keepAlive);
    this.#response.end();
  }

  #write(text: string): void {
    const response = this.#response;
    if (response.destroyed || response.writableEnded) return;
    response.write(text);
    if (response.writableLength > this.#limitBytes) response.destroy();
  }
}
