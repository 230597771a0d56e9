/**
 * `/v1/locks`, `/v1/stomp/stats`, `/v1/docgen/status` and `/v1/tools`: the guard's tools, each with the arguments and
 * the result that it has over MCP.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Caller, GuardTool, GuardTools } from '../../guard/index.js';
import { namesFromHeaders } from '../../mcp/identity.js';
import { type Handler, resource } from '../resource.js';
import type { Service } from '../service.js';
import { reasonOf } from '../turn.js';
import { flatErrorBody } from '../wire-errors.js';

export function toolRoutes(app: FastifyInstance, service: Service, tools: GuardTools): void {
  const options = { errorBody: flatErrorBody, bodyLimitBytes: tools.maxRequestBytes };
  const looking =
    (name: string): Handler =>
    () =>
      tools.call(name, {});
  const acting =
    (name: string, status = 200): Handler =>
    (request, reply) =>
      call(service, tools, name, request, reply.code(status));

  resource(app, '/v1/locks', { GET: looking('locks'), POST: acting('lock_acquire', 201) }, options);
  resource(app, '/v1/locks/renew', { POST: acting('lock_renew') }, options);
  resource(app, '/v1/locks/release', { POST: acting('lock_release') }, options);
  resource(app, '/v1/stomp/stats', { GET: looking('stomp_stats') }, options);
  resource(app, '/v1/docgen/status', { GET: looking('docgen_status') }, options);
  resource(app, '/v1/tools', { GET: () => ({ object: 'list', data: tools.list.map(describe) }) }, options);
  resource(
    app,
    '/v1/tools/:name',
    {
      POST: (request, reply) =>
        call(service, tools, (request.params as { name: string }).name, request, reply),
    },
    options,
  );
}

/** A client that goes while it waits for a lock waits no longer. */
async function call(
  service: Service,
  tools: GuardTools,
  name: string,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<object> {
  const caller = callerOf(request);
  if (caller) {
    request.notes.agent = caller.agentId;
    void reply.header('x-agent-id', caller.agentId);
  }
  const turn = service.beginTurn(reply.raw);
  try {
    return await tools.call(name, request.body, caller && { ...caller, signal: turn.signal });
  } catch (error) {
    throw reasonOf(error, turn.signal);
  } finally {
    service.endTurn(turn);
  }
}

/** @throws StompError INVALID_REQUEST for what is no agent id */
function callerOf(request: FastifyRequest): Caller | undefined {
  const { agentId, sessionId } = namesFromHeaders(request.headers);
  const name = agentId ?? sessionId;
  return name === undefined ? undefined : { agentId: name, sessionId: sessionId ?? name };
}

function describe({ name, title, description, inputSchema, hints }: GuardTool): object {
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
