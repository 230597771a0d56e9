/** The server inside other servers: as a request handler, and as a plug-in of a Fastify application. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyPluginAsync } from 'fastify';
import { faultDetail, faultFields } from './fault-log.js';
import { errorBody, errorForWire } from './wire-errors.js';

/** Handles one request of a server of node:http, or of a framework that has its requests and responses. */
export type RequestHandler = (request: IncomingMessage, response: ServerResponse) => void;

export function requestHandler(app: FastifyInstance): RequestHandler {
  let isReady = false;
  return (request, response) => {
    if (isReady) return app.routing(request, response);
    const route = (): void => {
      isReady = true;
      app.routing(request, response);
    };
    app.ready().then(route, (error) => refuse(app, response, error));
    return undefined;
  };
}

/** A plug-in of this server did not load, so that it has no routes. */
function refuse(app: FastifyInstance, response: ServerResponse, cause: unknown): void {
  app.log.error(faultFields(cause), 'the server could not be prepared');
  app.log.debug(faultDetail(cause), 'why');
  const body = JSON.stringify(errorBody(errorForWire(cause)));
  response.writeHead(500, { 'content-type': 'application/json; charset=utf-8' }).end(body);
}

/**
 * A plug-in that answers every path below the prefix it is registered with. Bodies are left unread for `handler`, whose
 * limits and errors apply; the application's own hooks run before.
 * @param close ends what runs here; called when the application closes
 */
export function fastifyPlugin(handler: RequestHandler, close: () => Promise<void>): FastifyPluginAsync {
  return async (scope) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', (_request, _payload, done) => done(null));
    scope.addHook('preClose', close);
    const inner = pathBelow(scope.prefix);
    scope.all('/*', (request, reply) => {
      reply.hijack();
      const { raw } = request;
      raw.url = inner(raw.url ?? '/');
      handler(raw, reply.raw);
    });
  };
}

/** What is left of a URL without its prefix, whose parts may be parameters and so of any length. */
function pathBelow(prefix: string): (url: string) => string {
  const parts = prefix.split('/').filter((part) => part !== '').length;
  const outer = new RegExp(`^(/+[^/?]+){${parts}}`);
  return (url) => {
    const rest = url.replace(outer, '');
    return rest.startsWith('/') ? rest : `/${rest}`;
  };
}

/**
 * The body of a request that a parser of the application around has read already, as `express.json()` does; anything
 * else is read as it comes.
 */
export function unreadBody(request: IncomingMessage & { body?: unknown }, payload: Readable): Readable {
  if (request.body === undefined || !request.readableDidRead) return payload;
  return Readable.from([bytesOf(request.body)]);
}

function bytesOf(body: unknown): Buffer {
  if (Buffer.isBuffer(body)) return body;
  return Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
}
