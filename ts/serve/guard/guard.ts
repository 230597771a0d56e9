/** The stomp guard in an HTTP server: its tools as routes and over MCP, its figures as metrics. */
import type { FastifyInstance } from 'fastify';
import { GuardTools } from '../../guard/index.js';
import type { GuardServices } from '../server.js';
import type { Service } from '../service.js';
import { collectGuardMetrics } from './guard-metrics.js';
import { mcpRoute } from './mcp-route.js';
import { toolRoutes } from './tool-routes.js';

export function guard(app: FastifyInstance, service: Service, services: GuardServices): void {
  const tools = new GuardTools({
    ...services,
    onFault: ({ error, tool, correlationId }) =>
      app.log.error({ err: error, tool, correlation_id: correlationId }, 'a tool failed'),
  });
  toolRoutes(app, service, tools);
  mcpRoute(app, service, tools);
  collectGuardMetrics(service.metrics.registry, services.maasl, (error) =>
    app.log.warn({ err: error }, 'the locks could not be counted'),
  );
}
