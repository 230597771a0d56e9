/** The server inside other servers: as a request handler, and as a plug-in of a Fastify application. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyPluginAsync } from 'fastify';

/** Handles one request of a server of node:http, or of a framework that has its requests and responses. */
export type RequestHandler = (request: IncomingMessage, response: ServerResponse) => void;

export function requestHandler(app: FastifyInstance): RequestHandler {
  return (request, response) => {
    app.ready((error) => {
      if (error) response.destroy(error);
      else app.routing(request, response);
    });
  };
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
    const prefix = scope.prefix;
    scope.all('/*', (request, reply) => {
      reply.hijack();
      const { raw } = request;
      raw.url = raw.url?.slice(prefix.length) || '/';
      handler(raw, reply.raw);
    });
  };
}

/**
 * The body of a request that a parser of the application around has read already, as `express.json()` does; anything
 * else is read as it comes.
 */
export function unreadBody(request: IncomingMessage & { body?: unknown }, payload: Readable): Readable {
  if (request.body === undefined || !request.readableDidRead) return payload;
  const text = typeof request.body === 'string' ? request.body : JSON.stringify(request.body);
  return Readable.from([Buffer.from(text)]);
}
