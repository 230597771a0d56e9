/** Serves the built dashboard as the real server does, over a model in memory. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join } from 'node:path';
import { ClutchModel, Refusal, type Resolve } from './clutch-model.js';
import { panelAnswers } from './panel-answers.js';

export const built = join(import.meta.dirname, '../../../dist/ui');

const policy =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
};

type Answer = (model: ClutchModel, id: string, body: unknown, by: string) => unknown;

const looking: Readonly<Record<string, Answer>> = {
  approvals: (model, id) => model.approval(id),
  runs: (model, id) => ({ ...model.state.runs[id], messages: [], calls: [] }),
};
const acting: Readonly<Record<string, Answer>> = {
  'POST approvals resolve': (model, id, body, by) => model.resolve(id, body as Resolve, by),
  'POST runs': (model, _id, body) => model.start(body as object),
  'POST runs abort': (model, id) => model.abort(id),
  'DELETE rules': (model, id) => model.revoke(id),
};

/** Who they are, by their tokens. */
const approvers: Readonly<Record<string, string>> = { 'token-of-ann': 'ann', 'token-of-bob': 'bob' };

export class DashboardServer {
  readonly model = new ClutchModel();
  /** Events that a client may still ask for; older ones are answered with a snapshot. */
  kept = Number.POSITIVE_INFINITY;
  /** Paths that answer 403. */
  readonly forbidden = new Set<string>();
  #server: Server | undefined;
  #port = 0;

  /** The first time on any free port, later on the same one. */
  async open(): Promise<void> {
    const server = createServer((request, response) => void this.#answer(request, response));
    server.listen(this.#port, '127.0.0.1');
    await once(server, 'listening');
    this.#port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  /** As a process that dies: what is open is cut. */
  async close(): Promise<void> {
    const server = this.#server;
    if (!server) return;
    this.#server = undefined;
    server.close();
    server.closeAllConnections();
    await once(server, 'close');
  }

  url(token?: string): string {
    return `http://127.0.0.1:${this.#port}/ui/${token === undefined ? '' : `#token=${token}`}`;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const url = new URL(request.url ?? '/', 'http://localhost');
      if (url.pathname.startsWith('/ui/')) return file(url.pathname.slice(4), response);
      if (url.pathname === '/v1/events') return this.#stream(Number(url.searchParams.get('after')), response);
      const body = await bodyOf(request);
      if (body !== undefined) this.model.requests.push({ path: url.pathname, body });
      json(response, 200, this.#api(`${request.method} ${url.pathname}`, body, request));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      json(response, error.status, { error: { code: error.code, message: error.message } });
    }
  }

  #api(route: string, body: unknown, request: IncomingMessage): unknown {
    const [method = '', path = ''] = route.split(' ');
    if (this.forbidden.has(path)) throw new Refusal(403, 'FORBIDDEN', 'This key may not see that.');
    if (path === '/v1/state') return this.model.state;
    if (path in panelAnswers) return panelAnswers[path];
    const [, , kind = '', id = '', action = ''] = path.split('/');
    const answer = method === 'GET' ? looking[kind] : acting[`${method} ${kind} ${action}`.trim()];
    if (!answer) throw new Refusal(404, 'NOT_FOUND', `There is no ${path}.`);
    return answer(this.model, id, body, method === 'GET' ? '' : approverOf(request));
  }

  #stream(after: number, response: ServerResponse): void {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    const { model } = this;
    let seen = after;
    const send = () => {
      if (model.state.seq - seen > this.kept) {
        response.write(`event: snapshot\ndata: ${JSON.stringify(model.state)}\n\n`);
        seen = model.state.seq;
      }
      for (const event of model.events.slice(seen)) {
        response.write(`id: ${event.seq}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
        seen = event.seq;
      }
    };
    send();
    const stop = model.listen(send);
    const timer = setInterval(() => {
      response.write(`event: system\ndata: ${JSON.stringify(systemNow())}\n\n`);
    }, 1000);
    response.on('close', () => {
      stop();
      clearInterval(timer);
    });
  }
}

export function systemNow() {
  return {
    at: Date.now(),
    cpu_percent: 12 + (Date.now() % 7),
    rss_bytes: 243_000_000,
    heap_bytes: 61_000_000,
    loop_delay_p99_ms: 2.4,
    queue_depth: 0,
  };
}

function approverOf({ headers }: IncomingMessage): string {
  const by = approvers[headers.authorization?.replace('Bearer ', '') ?? ''];
  if (by === undefined) throw new Refusal(401, 'UNAUTHORIZED', 'Deciding needs the approver token.');
  return by;
}

function file(name: string, response: ServerResponse): void {
  const path = name === '' ? 'index.html' : name;
  response.writeHead(200, {
    'content-type': types[extname(path)] ?? 'application/octet-stream',
    'content-security-policy': policy,
    'x-content-type-options': 'nosniff',
  });
  response.end(readFileSync(join(built, path)));
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return chunks.length === 0 ? undefined : JSON.parse(Buffer.concat(chunks).toString());
}

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}
