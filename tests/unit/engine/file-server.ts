/** A web server with the faults that downloads meet. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export type Handler = (request: IncomingMessage, response: ServerResponse) => void;

export interface TestServer {
  url: string;
  /** Method and path of every request, with its range. */
  requests: string[];
  close(): Promise<void>;
}

export async function serve(handler: Handler): Promise<TestServer> {
  const requests: string[] = [];
  const server: Server = createServer((request, response) => {
    const range = request.headers.range ? ` ${request.headers.range}` : '';
    requests.push(`${request.method} ${request.url}${range}`);
    handler(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

export interface FileFaults {
  /** Take no notice of ranges. */
  noRanges?: boolean;
  /** Hang up after this many bytes of an answer. */
  cutAfter?: number;
}

/** Sends a file, or the part asked for. */
export function sendFile(bytes: Buffer, faults: FileFaults = {}): Handler {
  return (request, response) => {
    const match = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
    const ranged = match && !faults.noRanges;
    const from = ranged ? Number(match[1]) : 0;
    const to = ranged && match[2] ? Math.min(Number(match[2]) + 1, bytes.length) : bytes.length;
    if (from > 0 && from >= bytes.length) {
      response.writeHead(416).end();
      return;
    }
    const body = bytes.subarray(from, to);
    const headers = { 'content-length': body.length, etag: '"e"' };
    if (ranged)
      response.writeHead(206, { ...headers, 'content-range': `bytes ${from}-${to - 1}/${bytes.length}` });
    else response.writeHead(200, headers);
    if (faults.cutAfter === undefined || faults.cutAfter >= body.length) response.end(body);
    else response.write(body.subarray(0, faults.cutAfter), () => setTimeout(() => response.destroy(), 5));
  };
}
