/** Binds a server to its address. */
import type { AddressInfo } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { isLoopback } from '../config/schema.js';
import { StompError } from '../errors.js';
import type { Gate } from './access/gate.js';

/** Where to listen, and for whom. */
export interface ListenOptions {
  /** An address of this machine. One that other machines reach needs `allowRemote`, and keys. @default '127.0.0.1' */
  host?: string;
  /** 0: any free one. @default 8000 */
  port?: number;
  /** Lets other machines in. @default false */
  allowRemote?: boolean;
}

/** @throws StompError PORT_IN_USE, INVALID_REQUEST, CONFIG_INVALID */
export async function listen(
  app: FastifyInstance,
  gate: Gate,
  { host = '127.0.0.1', port = 8000, allowRemote = false }: ListenOptions,
): Promise<{ url: string; host: string; port: number }> {
  if (!isLoopback(host)) gate.openTo(host, allowRemote);
  try {
    await app.listen({ host, port });
  } catch (caught) {
    throw listenError(caught, host, port);
  }
  const bound = (app.server.address() as AddressInfo).port;
  const shown = host.includes(':') ? `[${host}]` : host;
  return { url: `http://${shown}:${bound}`, host, port: bound };
}

function listenError(caught: unknown, host: string, port: number): unknown {
  const code = (caught as { code?: unknown }).code;
  if (code === 'EADDRINUSE') {
    const message =
      `Port ${port} on ${host} is taken. Stop the program that has it, or choose another port ` +
      'with --port (0 takes a free one).';
    return new StompError('PORT_IN_USE', message, { cause: caught, fields: { field: 'port', value: port } });
  }
  if (code === 'EACCES' || code === 'EADDRNOTAVAIL') {
    const message = `Cannot listen on ${host}:${port} (${code}); choose a port above 1023 and an address of this machine.`;
    return new StompError('INVALID_REQUEST', message, {
      cause: caught,
      fields: { field: 'port', value: port },
    });
  }
  return caught;
}
