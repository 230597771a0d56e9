/** The systems beside the engine in an HTTP server: their tools over HTTP and MCP, their own routes and metrics. */
import type { FastifyInstance } from 'fastify';
import { type AgentContextManager, contextTools } from '../../context/index.js';
import { guardTools } from '../../guard/index.js';
import { Toolbox } from '../../tools/toolbox.js';
import { collectContextMetrics } from '../context/context-metrics.js';
import { contextRoutes } from '../context/context-routes.js';
import { faultDetail, faultFields } from '../fault-log.js';
import { collectGuardMetrics } from '../guard/guard-metrics.js';
import { guardRoutes } from '../guard/guard-routes.js';
import { contextPaths } from '../openapi/paths/context.js';
import { guardPaths } from '../openapi/paths/guard.js';
import { mcpPaths, toolPaths } from '../openapi/paths/tools.js';
import type { GuardServices } from '../server.js';
import type { Service } from '../service.js';
import { mcpRoute } from './mcp-route.js';
import { toolRoutes } from './tool-routes.js';

/** Those that there are. */
export interface Systems {
  readonly guard?: GuardServices | undefined;
  readonly context?: AgentContextManager | undefined;
}

export function tools(app: FastifyInstance, service: Service, { guard, context }: Systems): void {
  const sets = [...(guard ? [guardTools(guard)] : []), ...(context ? [contextTools(context)] : [])];
  const toolbox = new Toolbox(sets, {
    onFault: ({ error, tool, correlationId }) => {
      app.log.error({ ...faultFields(error), tool, correlation_id: correlationId }, 'a tool failed');
      app.log.debug({ ...faultDetail(error), correlation_id: correlationId }, 'why');
    },
  });
  toolRoutes(app, service, toolbox);
  mcpRoute(app, service, toolbox);
  service.described.push({ groups: [toolPaths(toolbox), mcpPaths] });
  const uncounted = (what: string) => (error: unknown) =>
    app.log.warn({ err: error }, `the ${what} could not be counted`);
  if (guard) {
    guardRoutes(app, service, toolbox);
    service.described.push({ groups: [guardPaths(toolbox)] });
    collectGuardMetrics(service.metrics.registry, guard.maasl, uncounted('locks'));
  }
  if (context) {
    contextRoutes(app, service, context, toolbox);
    service.described.push({ groups: [contextPaths(toolbox)] });
    collectContextMetrics(service.metrics.registry, context, uncounted('sessions'));
  }
}
