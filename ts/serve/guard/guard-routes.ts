/** `/v1/locks`, `/v1/stomp/stats` and `/v1/docgen/status`: tools of the guard under paths of their own. */
import type { FastifyInstance } from 'fastify';
import type { Toolbox } from '../../tools/toolbox.js';
import { type Handler, resource } from '../resource.js';
import type { Service } from '../service.js';
import { callTool } from '../tools/call-tool.js';
import { flatErrorBody } from '../wire-errors.js';

export function guardRoutes(app: FastifyInstance, service: Service, tools: Toolbox): void {
  const options = { errorBody: flatErrorBody, bodyLimitBytes: tools.maxRequestBytes };
  const looking =
    (name: string): Handler =>
    () =>
      tools.call(name, {});
  const acting =
    (name: string, status = 200): Handler =>
    (request, reply) =>
      callTool(service, tools, name, request, reply.code(status));

  resource(app, '/v1/locks', { GET: looking('locks'), POST: acting('lock_acquire', 201) }, options);
  resource(app, '/v1/locks/renew', { POST: acting('lock_renew') }, options);
  resource(app, '/v1/locks/release', { POST: acting('lock_release') }, options);
  resource(app, '/v1/stomp/stats', { GET: looking('stomp_stats') }, options);
  resource(app, '/v1/docgen/status', { GET: looking('docgen_status') }, options);
}
