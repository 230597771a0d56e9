/**
 * JSON-RPC over two streams, a message a line. What is no message is answered with an error and forgotten; a line
 * that is too long is passed over without being kept.
 */
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import { ErrorCode, type JSONRPCMessage, JSONRPCMessageSchema } from '@modelcontextprotocol/sdk/types.js';

export interface StdioTransportSetup {
  readonly input: Readable;
  readonly output: Writable;
  readonly sessionId: string;
  /** Longest line. */
  readonly maxMessageBytes: number;
}

const newline = 0x0a;
/** A client that takes nothing any more does not keep the server from ending. */
const lastWordsMs = 2000;

export class StdioTransport implements Transport {
  onclose?: () => void;
  onerror?: (error: Error) => void;
  onmessage?: NonNullable<Transport['onmessage']>;
  readonly sessionId: string;
  /** Resolves when the other side will send nothing more. */
  readonly ended: Promise<void>;
  readonly #setup: StdioTransportSetup;
  #end!: () => void;
  /** Of the line that has begun. */
  #pieces: Buffer[] = [];
  #bytes = 0;
  #writing: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(setup: StdioTransportSetup) {
    this.#setup = setup;
    this.sessionId = setup.sessionId;
    this.ended = new Promise((resolve) => (this.#end = resolve));
  }

  start(): Promise<void> {
    const { input, output } = this.#setup;
    input.on('data', this.#onData);
    for (const event of ['end', 'close', 'error']) input.on(event, this.#end);
    // Nobody reads what is written: the client is gone.
    for (const event of ['close', 'error']) output.on(event, this.#end);
    return Promise.resolve();
  }

  send(message: JSONRPCMessage): Promise<void> {
    return this.#write(message);
  }

  /** Reads no more, and waits until all is written, or nobody takes it. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const { input } = this.#setup;
    input.off('data', this.#onData);
    input.pause();
    this.#pieces = [];
    await Promise.race([this.#writing, sleep(lastWordsMs, undefined, { ref: false })]);
    this.#end();
    this.onclose?.();
  }

  readonly #onData = (chunk: Buffer): void => {
    let from = 0;
    for (let at = chunk.indexOf(newline); at >= 0; at = chunk.indexOf(newline, from)) {
      this.#append(chunk.subarray(from, at));
      this.#endLine();
      from = at + 1;
    }
    this.#append(chunk.subarray(from));
  };

  #append(piece: Buffer): void {
    this.#bytes += piece.length;
    if (this.#bytes <= this.#setup.maxMessageBytes) this.#pieces.push(piece);
    else this.#pieces = [];
  }

  #endLine(): void {
    const tooLong = this.#bytes > this.#setup.maxMessageBytes;
    const line = Buffer.concat(this.#pieces).toString('utf8').trim();
    this.#pieces = [];
    this.#bytes = 0;
    if (tooLong) {
      const limit = this.#setup.maxMessageBytes;
      this.#refuse(ErrorCode.InvalidRequest, `A message of more than ${limit} bytes was passed over.`, null);
    } else if (line !== '') this.#receive(line);
  }

  #receive(line: string): void {
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      this.#refuse(ErrorCode.ParseError, 'The line is not JSON.', null);
      return;
    }
    const parsed = JSONRPCMessageSchema.safeParse(value);
    if (parsed.success) this.onmessage?.(parsed.data);
    else this.#refuse(ErrorCode.InvalidRequest, 'This is no JSON-RPC message.', idOf(value));
  }

  #refuse(code: ErrorCode, message: string, id: string | number | null): void {
    this.onerror?.(new Error(message));
    void this.#write({ jsonrpc: '2.0', id, error: { code, message } });
  }

  /** Resolves also when nobody reads any more; that shows in `ended`. */
  #write(message: object): Promise<void> {
    const written = new Promise<void>((resolve) => {
      this.#setup.output.write(`${JSON.stringify(message)}\n`, () => resolve());
    });
    this.#writing = Promise.all([this.#writing, written]).then(() => undefined);
    return written;
  }
}

function idOf(value: unknown): string | number | null {
  const id = typeof value === 'object' && value !== null ? (value as { id?: unknown }).id : undefined;
  return typeof id === 'string' || typeof id === 'number' ? id : null;
}
