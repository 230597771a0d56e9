/** Talks to a server in bytes. */
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

export interface RawAnswer {
  readonly text: string;
  /** Whether the server has ended the connection. */
  readonly closed: boolean;
}

/** Waits for the end of the connection, or for quiet after an answer. */
export async function sendRaw(port: number, bytes: string | Buffer, quietMs = 150): Promise<RawAnswer> {
  const socket = connect(port, '127.0.0.1');
  let text = '';
  let closed = false;
  let last = performance.now();
  socket.on('data', (data) => {
    text += data.toString('latin1');
    last = performance.now();
  });
  socket.on('error', () => undefined);
  socket.on('close', () => (closed = true));
  socket.on('end', () => (closed = true));
  socket.write(bytes);
  for (let i = 0; i < 500 && !closed; i++) {
    if (text !== '' && performance.now() - last > quietMs) break;
    await delay(10);
  }
  socket.destroy();
  return { text, closed };
}

/** Status codes of the answers, in order. */
export function statuses(text: string): number[] {
  return [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));
}

/** The headers of a request, and its body, as they are. */
export function request(head: readonly string[], body = ''): string {
  return `${head.join('\r\n')}\r\n\r\n${body}`;
}

/** A connection that stays, with what came over it. */
export function open(port: number): { socket: Socket; text: () => string; closed: Promise<void> } {
  const socket = connect(port, '127.0.0.1');
  let text = '';
  socket.on('data', (data) => (text += data.toString('latin1')));
  socket.on('error', () => undefined);
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  return { socket, text: () => text, closed };
}
