/** Between a client and the server: passes everything on as it comes, and keeps what was asked and answered. */
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { until } from '../e2e/server-process.js';

/** One request, and its answer as far as it has come. */
export interface Exchange {
  readonly method: string;
  readonly path: string;
  readonly body: string;
  status: number;
  agent: string | undefined;
  answer: string;
  /** The answer is whole, or the client went before it was. */
  state: 'running' | 'done' | 'left';
}

export class Recorder {
  readonly exchanges: Exchange[] = [];
  readonly #target: string;
  readonly #server: Server;

  private constructor(target: string) {
    this.#target = target;
    this.#server = createServer((asked, answered) => {
      this.#pass(asked, answered).catch((error: unknown) => answered.destroy(error as Error));
    });
  }

  static async start(target: string): Promise<Recorder> {
    const recorder = new Recorder(target);
    await new Promise<void>((resolve) => recorder.#server.listen(0, '127.0.0.1', resolve));
    return recorder;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** @returns the exchange whose request holds `text` first, once `isReady` says so of it. */
  async find(text: string, isReady: (exchange: Exchange) => boolean): Promise<Exchange> {
    let found: Exchange | undefined;
    await until(
      () => {
        found = this.exchanges.find(({ body }) => body.includes(text) && !body.includes('Write the title'));
        return found !== undefined && isReady(found);
      },
      `a request with ${text}`,
      120_000,
    );
    return found as Exchange;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #pass(asked: IncomingMessage, answered: ServerResponse): Promise<void> {
    const body = await buffer(asked);
    const { method = '', url: path = '', headers } = asked;
    const exchange: Exchange = {
      method,
      path,
      body: body.toString(),
      status: 0,
      agent: undefined,
      answer: '',
      state: 'running',
    };
    this.exchanges.push(exchange);
    const onward = request(this.#target + path, { method, headers });
    answered.on('close', () => {
      exchange.state = answered.writableFinished ? 'done' : 'left';
      onward.destroy();
    });
    onward.on('error', (error) => answered.destroy(error));
    onward.on('response', (response) => {
      exchange.status = response.statusCode ?? 0;
      exchange.agent = response.headers['x-agent-id'] as string | undefined;
      answered.writeHead(exchange.status, response.headers);
      response.on('data', (data: Buffer) => (exchange.answer += data.toString()));
      response.pipe(answered);
    });
    onward.end(body);
  }
}
