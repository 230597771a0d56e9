/** The systems beside the engine in an HTTP server: their tools over HTTP and MCP, their own routes and metrics. */
import type { FastifyInstance } from 'fastify';
import { guardTools } from '../../guard/index.js';
import { Toolbox } from '../../tools/toolbox.js';
import { collectGuardMetrics } from '../guard/guard-metrics.js';
import { guardRoutes } from '../guard/guard-routes.js';
import type { GuardServices } from '../server.js';
import type { Service } from '../service.js';
import { mcpRoute } from './mcp-route.js';
import { toolRoutes } from './tool-routes.js';

/** Those that there are. */
export interface Systems {
  readonly guard?: GuardServices | undefined;
}

export function tools(app: FastifyInstance, service: Service, { guard }: Systems): void {
  const toolbox = new Toolbox(guard ? [guardTools(guard)] : [], {
    onFault: ({ error, tool, correlationId }) =>
      app.log.error({ err: error, tool, correlation_id: correlationId }, 'a tool failed'),
  });
  toolRoutes(app, service, toolbox);
  mcpRoute(app, service, toolbox);
  if (!guard) return;
  guardRoutes(app, service, toolbox);
  collectGuardMetrics(service.metrics.registry, guard.maasl, (error) =>
    app.log.warn({ err: error }, 'the locks could not be counted'),
  );
}
