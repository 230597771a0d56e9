/** `/v1/projects` and `/v1/context`. They need no engine. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { type ResourceOptions, resource } from '../resource.js';
import { type Call, pathOf } from '../tools/path-call.js';

export function projectRoutes(app: FastifyInstance, call: Call, options: ResourceOptions): void {
  const named = (request: FastifyRequest) => ({ name: pathOf(request)['name'] });

  resource(
    app,
    '/v1/projects',
    {
      GET: (request, reply) => call({ request, reply, tool: 'project_list' }),
      POST: (request, reply) => call({ request, reply: reply.code(201), tool: 'project_create' }),
    },
    options,
  );
  resource(
    app,
    '/v1/projects/:name',
    {
      GET: async (request, reply) => {
        const found = await call({ request, reply, tool: 'get_project', path: named(request) });
        return (found as { details: object }).details;
      },
      PATCH: (request, reply) => call({ request, reply, tool: 'project_update', path: named(request) }),
      DELETE: (request, reply) =>
        call({
          request,
          reply,
          tool: 'project_delete',
          path: named(request),
        }),
    },
    options,
  );
  const entries = (request: FastifyRequest) => ({ project: pathOf(request)['name'] });
  resource(
    app,
    '/v1/projects/:name/entries',
    {
      GET: (request, reply) =>
        call({
          request,
          reply,
          tool: 'query_entries',
          path: entries(request),
        }),
      POST: (request, reply) =>
        call({ request, reply: reply.code(201), tool: 'append_entry', path: entries(request) }),
    },
    options,
  );
  resource(
    app,
    '/v1/projects/:name/entries/query',
    { POST: (request, reply) => call({ request, reply, tool: 'query_entries', path: entries(request) }) },
    options,
  );
  resource(
    app,
    '/v1/projects/:name/audit',
    {
      GET: async (request, reply) => {
        const path = entries(request);
        const found = await call({ request, reply, tool: 'context_audit', path });
        return (found as { reports: object[] }).reports[0];
      },
    },
    options,
  );
  resource(
    app,
    '/v1/context/verify',
    { GET: (request, reply) => call({ request, reply, tool: 'context_verify' }) },
    options,
  );
  resource(
    app,
    '/v1/context/events',
    {
      GET: (request, reply) => call({ request, reply, tool: 'context_events' }),
    },
    options,
  );
}
