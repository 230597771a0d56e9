/** A connection that can be lost at a chosen moment. */
import { connect, createServer, type Server, type Socket } from 'node:net';

/** Between a client and the server: passes everything on, until it is told to swallow the answer to something. */
export class Relay {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #swallow: string | undefined;

  private constructor(target: number) {
    this.#server = createServer((client) => {
      const upstream = connect(target, '127.0.0.1');
      for (const socket of [client, upstream]) {
        this.#sockets.add(socket);
        socket.on('error', () => undefined);
      }
      client.on('data', (data) => {
        upstream.write(data);
        if (this.#swallow === undefined || !data.includes(this.#swallow)) return;
        upstream.end();
        client.destroy();
      });
      upstream.on('data', (data) => client.writable && client.write(data));
      client.on('close', () => upstream.end());
      upstream.on('close', () => client.end());
    });
  }

  static async start(target: number): Promise<Relay> {
    const relay = new Relay(target);
    await new Promise<void>((resolve) => relay.#server.listen(0, '127.0.0.1', resolve));
    return relay;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address ? address.port : 0;
  }

  swallowAfter(text: string): void {
    this.#swallow = text;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
