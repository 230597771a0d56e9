/** The context in an HTTP server: its tools under paths of their own. */
import type { FastifyInstance } from 'fastify';
import type { AgentContextManager } from '../../context/index.js';
import type { Toolbox } from '../../tools/toolbox.js';
import type { Service } from '../service.js';
import { askedReader, caller } from '../tools/path-call.js';
import { flatErrorBody } from '../wire-errors.js';
import { agentRoutes } from './agent-routes.js';
import { projectRoutes } from './project-routes.js';

export function contextRoutes(
  app: FastifyInstance,
  service: Service,
  manager: AgentContextManager,
  tools: Toolbox,
): void {
  const options = { errorBody: flatErrorBody, bodyLimitBytes: tools.maxRequestBytes };
  const call = caller(service, tools);
  agentRoutes(app, manager, call, askedReader(tools), options);
  projectRoutes(app, call, options);
}
