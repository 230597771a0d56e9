/**
 * Server-sent events from a response body, as the HTML standard reads them. No import of Node: the dashboard has this file
 * too, because EventSource sends no headers.
 */

export interface SseMessage {
  readonly event: string;
  /** Of this message, or of the last that had one; empty when none had. */
  readonly id: string;
  readonly data: string;
}

/** Takes text cut anywhere. */
export class SseParser {
  #rest = '';
  #started = false;
  #id = '';
  #event = '';
  #data: string[] = [];

  push(text: string): SseMessage[] {
    this.#rest += text;
    if (!this.#started && this.#rest !== '') {
      this.#started = true;
      this.#rest = this.#rest.replace(/^\uFEFF/, '');
    }
    // A carriage return at the end may be the first half of a line's end.
    const whole = this.#rest.endsWith('\r') ? this.#rest.length - 1 : this.#rest.length;
    const lines = this.#rest.slice(0, whole).split(/\r\n|\n|\r/);
    this.#rest = (lines.pop() ?? '') + this.#rest.slice(whole);
    return lines.flatMap((line) => this.#line(line));
  }

  #line(line: string): SseMessage[] {
    if (line === '') return this.#dispatch();
    const colon = line.indexOf(':');
    if (colon === 0) return [];
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    this.#field(name, value);
    return [];
  }

  #field(name: string, value: string): void {
    if (name === 'data') this.#data.push(value);
    else if (name === 'event') this.#event = value;
    else if (name === 'id' && !value.includes('\0')) this.#id = value;
  }

  #dispatch(): SseMessage[] {
    const message = { event: this.#event || 'message', id: this.#id, data: this.#data.join('\n') };
    const isEmpty = this.#data.length === 0;
    this.#event = '';
    this.#data = [];
    return isEmpty ? [] : [message];
  }
}

/** Ends when the body does. @throws what the body fails with */
export async function* readSse(body: ReadableStream<Uint8Array>): AsyncGenerator<SseMessage> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const parser = new SseParser();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield* parser.push(decoder.decode(value, { stream: true }));
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
