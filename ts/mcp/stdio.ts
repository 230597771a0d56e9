/** MCP over standard input and output, for one client: the one that has started this process. */
import { randomUUID } from 'node:crypto';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Toolbox } from '../tools/toolbox.js';
import { McpSession } from './session.js';
import { StdioTransport } from './stdio-transport.js';

/** What to serve, and over which streams. */
export interface StdioServerOptions {
  readonly tools: Toolbox;
  /** @default standard input */
  readonly input?: Readable;
  /** Nothing else may be written to it. @default standard output */
  readonly output?: Writable;
  /** Is told of what does not fit the protocol; it is answered and harms nobody. */
  onError?(error: Error): void;
}

/** A server at work. */
export interface StdioServer {
  /**
   * Resolves when the client has gone, or `close` was called, and all is given back.
   * @throws StompError DB_BUSY when leases could not be given back: they expire.
   */
  readonly closed: Promise<void>;
  /** Ends it now: who waits for a lock waits no longer. */
  close(): Promise<void>;
}

/** For calls that came right before the end of the input. */
const lastCallsMs = 500;

/**
 * Serves until the client closes its end. The leases that it has taken are then given back. Whoever opened the guard
 * closes it, afterwards.
 */
export async function serveStdio(options: StdioServerOptions): Promise<StdioServer> {
  const { tools, input = process.stdin, output = process.stdout, onError = () => undefined } = options;
  const id = randomUUID();
  const transport = new StdioTransport({
    input,
    output,
    sessionId: id,
    maxMessageBytes: tools.maxRequestBytes,
  });
  const session = new McpSession({ tools, id, onError });
  await session.connect(transport);
  const hurry = new AbortController();
  const closed = endOf(session, transport, hurry.signal);
  return {
    closed,
    close: () => {
      hurry.abort();
      return closed;
    },
  };
}

async function endOf(session: McpSession, transport: StdioTransport, hurry: AbortSignal): Promise<void> {
  const hurried = new Promise<void>((resolve) => hurry.addEventListener('abort', () => resolve()));
  await Promise.race([transport.ended, hurried]);
  // Messages that have arrived become calls in a moment.
  await sleep(0);
  await Promise.race([session.idle(), hurried, sleep(lastCallsMs, undefined, { ref: false })]);
  try {
    await session.giveBack();
  } finally {
    await sleep(0); // for the last answers to be sent
    await session.close();
  }
}
