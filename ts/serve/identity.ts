/** Which agent a request belongs to: `X-Agent-ID` > `session_id` or `X-Session-ID` > its content. */
import type { IncomingHttpHeaders } from 'node:http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { checkAgentId } from '../engine/agent-id.js';
import type { ChatMessage, ToolDefinition } from '../engine/types.js';
import { StompError } from '../errors.js';
import type { AnonymousTurn, SavedAgents } from './anonymous.js';
import type { ServedEngine, Service } from './service.js';

export interface Claim {
  readonly headers: IncomingHttpHeaders;
  /** The field of the body. */
  readonly sessionId: string | undefined;
  readonly messages: readonly ChatMessage[];
  readonly tools?: readonly ToolDefinition[];
  readonly cacheSalt: string;
}

/** Whose turn it is. */
export type NamedTurn = Pick<AnonymousTurn, 'agentId'> & Partial<AnonymousTurn>;

/**
 * @returns the agent's name; only the anonymous ones have a `settle`.
 * @throws StompError INVALID_REQUEST when a given name is no agent id, or body and header disagree; what the engine
 *   throws when it cannot say which agents there are.
 */
export async function resolveAgent(
  claim: Claim,
  engine: ServedEngine,
  { anonymous }: Pick<Service, 'anonymous'>,
): Promise<NamedTurn> {
  const agent = header(claim.headers, 'x-agent-id');
  if (agent !== undefined) return { agentId: checkAgentId(agent, 'X-Agent-ID') };
  const session = header(claim.headers, 'x-session-id');
  if (session !== undefined && claim.sessionId !== undefined && session !== claim.sessionId) {
    throw new StompError(
      'INVALID_REQUEST',
      '"session_id" and X-Session-ID name different sessions; send one.',
      {
        fields: { field: 'session_id' },
      },
    );
  }
  if (claim.sessionId !== undefined) return { agentId: checkAgentId(claim.sessionId, 'session_id') };
  if (session !== undefined) return { agentId: checkAgentId(session, 'X-Session-ID') };
  return anonymous.begin(claim.messages, claim.cacheSalt, claim.tools ?? [], agentsOf(engine));
}

function agentsOf(engine: ServedEngine): SavedAgents {
  return {
    model: engine.info.fingerprint,
    names: (prefix) => engine.agentIds(prefix),
    messages: async (id) => (await engine.agent(id).transcript()).messages,
  };
}

/**
 * Names the agent that the headers name before the body is read, so that the response has it even if nothing
 * comes of the request.
 * @throws StompError INVALID_REQUEST
 */
export function announceAgent(request: FastifyRequest, reply: FastifyReply): void {
  const agent = header(request.headers, 'x-agent-id');
  const session = header(request.headers, 'x-session-id');
  const name = agent ?? session;
  if (name === undefined) return;
  request.notes.agent = checkAgentId(name, agent === undefined ? 'X-Session-ID' : 'X-Agent-ID');
  reply.header('x-agent-id', request.notes.agent);
}

function header(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value.join(', ') : value;
}
