/** One path with its methods. Every other method gets 405 and the list of those that work. */
import type { FastifyInstance, FastifyReply, FastifyRequest, HTTPMethods } from 'fastify';
import { StompError } from '../errors.js';
import type { Role } from './access/keys.js';

export type Handler = (request: FastifyRequest, reply: FastifyReply) => unknown;

export interface ResourceOptions {
  /** Instead of the server's. */
  readonly bodyLimitBytes?: number;
  /** Words errors of this path. */
  readonly errorBody?: (error: StompError, requestId: string) => object;
  /** Who may call it: `anyone` without a key. @default 'admin' below /v1/admin, else 'user' */
  readonly role?: Role | 'anyone';
}

declare module 'fastify' {
  interface FastifyContextConfig {
    errorBody?: ResourceOptions['errorBody'];
  }
  interface FastifyInstance {
    /** Methods by path, of every resource. */
    resources: Map<string, readonly string[]>;
  }
}

const METHODS: readonly HTTPMethods[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE'];

/** Registers the handlers of `url`. HEAD comes with GET. */
export function resource(
  app: FastifyInstance,
  url: string,
  handlers: Readonly<Partial<Record<'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE', Handler>>>,
  { bodyLimitBytes, errorBody, role }: ResourceOptions = {},
): void {
  const config = { ...(errorBody && { errorBody }), ...(role && { role }) };
  const limit = bodyLimitBytes === undefined ? {} : { bodyLimit: bodyLimitBytes };
  const served = Object.keys(handlers);
  app.resources.set(url, [...served]);
  if (handlers.GET) served.push('HEAD');
  for (const [method, handler] of Object.entries(handlers)) {
    app.route({
      method: method as HTTPMethods,
      url,
      config,
      ...limit,
      handler: async (request, reply) => handler(request, reply),
    });
  }
  const refused = METHODS.filter((method) => !served.includes(method));
  app.route({
    method: refused,
    url,
    config,
    // Before the body is read: nothing in it could help.
    onRequest: async (request, reply) => {
      reply.header('allow', served.join(', '));
      throw new StompError(
        'METHOD_NOT_ALLOWED',
        `${request.method} does not work here; use ${served.join(', ')}.`,
        {
          fields: { field: 'method', value: request.method, allowed: served.join(', ') },
        },
      );
    },
    handler: () => undefined,
  });
}
