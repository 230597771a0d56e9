/**
 * One stream of server-sent events to one client. A slow client is waited for; one that reads nothing for
 * long loses its connection, and with it its generation.
 */
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';

/** A name, where the protocol has names, and the data; objects become JSON. */
export interface SseEvent {
  readonly event?: string;
  /** Where a client that comes back goes on. */
  readonly id?: number;
  readonly data: object | string;
}

/** The event as it goes over the wire. */
export function sseText({ event, id, data }: SseEvent): string {
  const name = event === undefined ? '' : `event: ${event}\n`;
  const place = id === undefined ? '' : `id: ${id}\n`;
  return `${place}${name}data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`;
}

export interface SseOptions {
  /** A comment goes out at this interval, so that proxies keep a quiet stream open. */
  readonly keepAliveMs: number;
  /** A client that has taken nothing of what waits for it for this long has gone. */
  readonly stallMs: number;
  /** Goes out in the place of a comment, once the stream has begun. */
  readonly keepAlive?: SseEvent | undefined;
}

export class SseStream {
  readonly #response: ServerResponse;
  readonly #options: SseOptions;
  readonly #gone = new AbortController();
  readonly #keepAlive: NodeJS.Timeout;
  #quiet = ': keep-alive\n\n';

  /** Sends status 200 and the headers. REQUIRES: nothing was sent on `response`. */
  constructor(response: ServerResponse, headers: Readonly<Record<string, string>>, options: SseOptions) {
    this.#response = response;
    this.#options = options;
    response.writeHead(200, {
      ...headers,
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache, no-transform',
      'x-accel-buffering': 'no',
    });
    response.flushHeaders();
    this.#keepAlive = setInterval(() => this.#stayOpen(), options.keepAliveMs);
    this.#keepAlive.unref();
    response.once('close', () => {
      clearInterval(this.#keepAlive);
      this.#gone.abort();
    });
  }

  /** From now on `keepAlive` may be sent. */
  begun(): void {
    if (this.#options.keepAlive) this.#quiet = sseText(this.#options.keepAlive);
  }

  /** Resolves when the next events may be sent; at once, and without effect, when the client has gone or all is said. */
  async send(events: readonly SseEvent[]): Promise<void> {
    const response = this.#response;
    if (!this.#isOpen || events.length === 0) return;
    response.write(events.map(sseText).join(''));
    if (response.writableNeedDrain) await this.#drained();
  }

  /** Sends it unless the client is behind: for what is soon followed by its like. */
  offer(event: SseEvent): void {
    if (this.#isOpen && !this.#response.writableNeedDrain) this.#response.write(sseText(event));
  }

  end(): void {
    clearInterval(this.#keepAlive);
    this.#response.end();
  }

  async #drained(): Promise<void> {
    const stalled = setTimeout(() => this.#response.destroy(), this.#options.stallMs);
    stalled.unref();
    const drained = once(this.#response, 'drain', { signal: this.#gone.signal });
    // Rejects only when the client has gone, which whoever sends learns from the generation's end.
    await drained.catch(() => undefined);
    clearTimeout(stalled);
  }

  #stayOpen(): void {
    if (this.#isOpen && !this.#response.writableNeedDrain) this.#response.write(this.#quiet);
  }

  /** A failure of one answer ends the response while others are still being sent, or wait for a slow client. */
  get #isOpen(): boolean {
    return !this.#response.destroyed && !this.#response.writableEnded;
  }
}
