/** The systems beside the engine in an HTTP server: their tools over HTTP and MCP, their own routes and metrics. */
import type { FastifyInstance } from 'fastify';
import { type ClutchToolsOptions, clutchTools } from '../../clutch/face/clutch-tools.js';
import { type AgentContextManager, contextTools } from '../../context/index.js';
import { StompError } from '../../errors.js';
import { guardTools } from '../../guard/index.js';
import type { Reservations } from '../../reservations/index.js';
import { reservationTools } from '../../reservations/tools/reservation-tools.js';
import { Toolbox } from '../../tools/toolbox.js';
import { collectContextMetrics } from '../context/context-metrics.js';
import { contextRoutes } from '../context/context-routes.js';
import { faultDetail, faultFields } from '../fault-log.js';
import { collectGuardMetrics } from '../guard/guard-metrics.js';
import { guardRoutes } from '../guard/guard-routes.js';
import { contextPaths } from '../openapi/paths/context.js';
import { guardPaths } from '../openapi/paths/guard.js';
import { reservationSchemas } from '../openapi/paths/reservation-schemas.js';
import { reservationPaths } from '../openapi/paths/reservations.js';
import { mcpPaths, toolPaths } from '../openapi/paths/tools.js';
import { missingReservationRoutes, reservationRoutes } from '../reservations/reservation-routes.js';
import type { GuardServices } from '../server.js';
import type { Service } from '../service.js';
import { mcpRoute } from './mcp-route.js';
import { toolRoutes } from './tool-routes.js';

/** Those that there are. */
export interface Systems {
  readonly guard?: GuardServices | undefined;
  readonly context?: AgentContextManager | undefined;
  /** Or why there are none. */
  readonly reservations?: Reservations | StompError | undefined;
  readonly runs?: ClutchToolsOptions | undefined;
}

export function tools(app: FastifyInstance, service: Service, systems: Systems): void {
  const { reservations, ...others } = systems;
  const isMissing = reservations instanceof StompError;
  if (isMissing) missingReservationRoutes(app, reservations);
  if (isMissing && Object.values(others).every((system) => system === undefined)) return;
  offer(app, service, { ...others, reservations: isMissing ? undefined : reservations });
}

interface Opened extends Systems {
  readonly reservations?: Reservations | undefined;
}

function offer(app: FastifyInstance, service: Service, { guard, context, reservations, runs }: Opened): void {
  const sets = [
    ...(guard ? [guardTools(guard)] : []),
    ...(context ? [contextTools(context)] : []),
    ...(reservations ? [reservationTools(reservations)] : []),
    ...(runs ? [clutchTools(runs)] : []),
  ];
  const toolbox = new Toolbox(sets, {
    endWaits: service.shutdown,
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
  if (reservations) {
    reservationRoutes(app, service, reservations, toolbox);
    service.described.push({ groups: [reservationPaths(toolbox)], schemas: reservationSchemas });
  }
}
