/** Starts a server around a scripted engine, on a free port, and talks to it over real sockets. */
import { afterEach } from 'vitest';
import type { ServedRegistry } from '../../../ts/serve/engine-source.js';
import { createServer, type ServerOptions, type StompServer } from '../../../ts/serve/server.js';
import type { ServedEngine } from '../../../ts/serve/service.js';
import { FakeEngine } from './fake-engine.js';

export interface Running {
  readonly server: StompServer;
  readonly engine: FakeEngine;
  readonly url: string;
  readonly port: number;
  readonly log: Record<string, unknown>[];
  post(path: string, body: unknown, headers?: Record<string, string>): Promise<Response>;
  get(path: string, headers?: Record<string, string>): Promise<Response>;
}

const running: StompServer[] = [];
afterEach(async () => {
  for (const server of running.splice(0)) await Promise.all([server.close(), server.close()]);
});

export async function start(
  options: ServerOptions = {},
  engine: FakeEngine = new FakeEngine(),
  served: ServedEngine | Promise<ServedEngine> | ServedRegistry = engine,
): Promise<Running> {
  const log: Record<string, unknown>[] = [];
  const stream = { write: (line: string) => void log.push(JSON.parse(line) as Record<string, unknown>) };
  const names = 'acquire' in served ? {} : { model: 'tiny' };
  const server = createServer(served, { ...names, log: { level: 'debug', stream }, ...options });
  running.push(server);
  const { url, port } = await server.listen({ port: 0 });
  const post: Running['post'] = (path, body, headers = {}) =>
    fetch(url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
  const get: Running['get'] = (path, headers = {}) => fetch(url + path, { headers });
  return { server, engine, url, port, log, post, get };
}

export const hello = [{ role: 'user', content: 'Hello' }];

/** The data of each event of a stream. */
export async function events(response: Response): Promise<string[]> {
  const text = await response.text();
  return text
    .split('\n\n')
    .filter((event) => event.startsWith('data: '))
    .map((event) => event.slice('data: '.length));
}

export interface WireError {
  error: {
    message: string;
    type: string;
    param: string | null;
    code: string;
    fields?: Record<string, unknown>;
  };
}

export async function errorOf(response: Response): Promise<WireError['error']> {
  const body = (await response.json()) as WireError;
  return body.error;
}

/** Waits until `check` holds; fails the test when it never does. */
export async function until(check: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (let i = 0; i < 1000; i++) {
    if (await check()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`It never came to pass: ${what}`);
}
