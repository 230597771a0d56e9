/** `/v1/tools`: every tool, with the arguments and the result that it has over MCP. */
import type { FastifyInstance } from 'fastify';
import type { Tool } from '../../tools/tool.js';
import type { Toolbox } from '../../tools/toolbox.js';
import { resource } from '../resource.js';
import type { Service } from '../service.js';
import { flatErrorBody } from '../wire-errors.js';
import { callTool } from './call-tool.js';

export function toolRoutes(app: FastifyInstance, service: Service, tools: Toolbox): void {
  const options = { errorBody: flatErrorBody, bodyLimitBytes: tools.maxRequestBytes };
  resource(app, '/v1/tools', { GET: () => ({ object: 'list', data: tools.list.map(describe) }) }, options);
  resource(
    app,
    '/v1/tools/:name',
    {
      POST: (request, reply) =>
        callTool(service, tools, (request.params as { name: string }).name, request, reply),
    },
    options,
  );
}

function describe({ name, title, description, inputSchema, hints }: Tool): object {
  return {
    name,
    title,
    description,
    input_schema: inputSchema,
    read_only: hints.readOnly,
    destructive: hints.destructive,
    idempotent: hints.idempotent,
  };
}
