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
    const range = faults.noRanges ? undefined : rangeOf(request, bytes.length);
    if (range) sendPart(response, bytes, range, faults);
    else sendBody(response.writeHead(200, headersFor(bytes)), bytes, faults);
  };
}

interface Range {
  from: number;
  to: number;
}

function sendPart(response: ServerResponse, bytes: Buffer, { from, to }: Range, faults: FileFaults): void {
  if (from > 0 && from >= bytes.length) {
    response.writeHead(416).end();
    return;
  }
  const body = bytes.subarray(from, to);
  const part = { 'content-range': `bytes ${from}-${to - 1}/${bytes.length}` };
  sendBody(response.writeHead(206, { ...headersFor(body), ...part }), body, faults);
}

function headersFor(body: Buffer): Record<string, string | number> {
  return { 'content-length': body.length, etag: '"e"' };
}

function rangeOf(request: IncomingMessage, size: number): Range | undefined {
  const match = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
  if (!match) return undefined;
  return { from: Number(match[1]), to: match[2] ? Math.min(Number(match[2]) + 1, size) : size };
}

function sendBody(response: ServerResponse, body: Buffer, faults: FileFaults): void {
  const cutAfter = faults.cutAfter ?? body.length;
  if (cutAfter >= body.length) response.end(body);
  else response.write(body.subarray(0, cutAfter), () => setTimeout(() => response.destroy(), 5));
}
