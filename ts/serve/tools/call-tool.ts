/** Calls a tool for an HTTP request. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { namesFromHeaders } from '../../mcp/identity.js';
import type { Actor, Anonymous, Caller } from '../../tools/tool.js';
import type { Toolbox } from '../../tools/toolbox.js';
import { requireRole } from '../access/caller.js';
import type { Service } from '../service.js';
import { reasonOf } from '../turn.js';

/**
 * A client that goes while it waits for a lock, or for an answer, waits no longer.
 * @param args of the tool; by default the body
 * @throws StompError
 */
export async function callTool(
  service: Service,
  tools: Toolbox,
  name: string,
  request: FastifyRequest,
  reply: FastifyReply,
  args: unknown = request.body,
): Promise<object> {
  requireRole(request, tools.get(name).role ?? 'user');
  const tellActor = ({ agentId }: Actor): void => {
    request.notes.agent = agentId;
    void reply.header('x-agent-id', agentId);
  };
  const caller = callerOf(request);
  if (caller.agentId !== undefined) tellActor(caller);
  const turn = service.beginTurn(reply.raw);
  try {
    return await tools.call(name, args, { ...caller, signal: turn.signal, onActor: tellActor });
  } catch (error) {
    throw reasonOf(error, turn.signal);
  } finally {
    service.endTurn(turn);
  }
}

/** @throws StompError INVALID_REQUEST for what is no agent id */
function callerOf(request: FastifyRequest): Caller | Anonymous {
  const said = namesFromHeaders(request.headers);
  const name = said.agentId ?? said.sessionId;
  return name === undefined ? {} : { agentId: name, sessionId: said.sessionId ?? name, said };
}
