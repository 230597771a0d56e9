/** `/v1/agents`: the agents in memory and on disk, and what can be done with one. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { checkAgentId } from '../../engine/agent-id.js';
import type { AgentInfo } from '../../engine/types.js';
import { StompError } from '../../errors.js';
import { Fields } from '../fields.js';
import { readMessages } from '../openai/messages.js';
import { type Handler, resource } from '../resource.js';
import type { Service } from '../service.js';

export function agents(app: FastifyInstance, service: Service): void {
  resource(app, '/v1/agents', {
    GET: async () => ({ object: 'list', data: (await service.agents()).map(describe) }),
    POST: create(service),
  });
  resource(app, '/v1/agents/:id', {
    GET: async (request) => {
      const id = agentOf(request);
      return describe(
        found(
          id,
          (await service.agents()).find((agent) => agent.id === id),
        ),
      );
    },
    DELETE: async (request) => {
      const id = agentOf(request);
      await service.engine().remove(id);
      return { agent_id: id, deleted: true };
    },
  });
  resource(app, '/v1/agents/:id/fork', { POST: fork(service) });
  resource(app, '/v1/agents/:id/load', {
    POST: async (request) => {
      noBody(request);
      const id = agentOf(request);
      await service.engine().agent(id).load();
      return describe(await existing(service, id));
    },
  });
  resource(app, '/v1/agents/:id/save', {
    POST: async (request) => {
      noBody(request);
      const id = agentOf(request);
      await service.engine().agent(id).save();
      return describe(await existing(service, id));
    },
  });
  resource(app, '/v1/agents/:id/evict', {
    POST: async (request) => {
      noBody(request);
      const id = agentOf(request);
      await service.engine().evict(id);
      return describe(await existing(service, id));
    },
  });
}

/** The agent that the path names. @throws StompError INVALID_REQUEST */
export function agentOf(request: FastifyRequest): string {
  const id = checkAgentId((request.params as { id: string }).id);
  request.notes.agent = id;
  return id;
}

/** `messages` begin the new agent's conversation; `system` is short for a first one. */
function create(service: Service): Handler {
  return async (request, reply) => {
    const engine = service.engine();
    const fields = new Fields(request.body);
    const id = fields.text('agent_id');
    if (id === undefined) throw fields.missing('agent_id', 'the name of the new agent');
    request.notes.agent = checkAgentId(id, 'agent_id');
    const system = fields.text('system');
    const messages = fields.raw('messages') === undefined ? [] : readMessages(fields);
    fields.end();
    const opening = system === undefined ? [] : [{ role: 'system' as const, content: system }];
    await engine.create(id, [...opening, ...messages]);
    void reply.code(201).header('x-agent-id', id);
    return describe(await existing(service, id));
  };
}

function fork(service: Service): Handler {
  return async (request, reply) => {
    const engine = service.engine();
    const from = agentOf(request);
    const fields = new Fields(request.body);
    const to = fields.text('agent_id');
    if (to === undefined) throw fields.missing('agent_id', 'the name of the new agent');
    fields.end();
    const created = await engine.agent(from).fork(checkAgentId(to, 'agent_id'));
    void reply.code(201);
    return { agent_id: created.id, forked_from: from };
  };
}

/** Actions without settings take no body, or an empty object. */
function noBody(request: FastifyRequest): void {
  if (request.body !== undefined && request.body !== null) new Fields(request.body).end();
}

async function existing(service: Service, id: string): Promise<AgentInfo> {
  return found(id, await service.engine().agent(id).info());
}

/** @throws StompError AGENT_NOT_FOUND */
function found(id: string, info: AgentInfo | undefined): AgentInfo {
  if (info) return info;
  throw new StompError(
    'AGENT_NOT_FOUND',
    `There is no agent ${id}; make one with POST /v1/agents, or by its first turn.`,
    {
      fields: { field: 'agent_id', value: id },
    },
  );
}

function describe(info: AgentInfo): object {
  return {
    agent_id: info.id,
    tier: info.tier,
    tokens: info.tokens,
    blocks: info.blocks,
    pool_bytes: info.poolBytes,
    disk_bytes: info.diskBytes,
    saved: info.saved,
    last_used: new Date(info.lastUsedMs).toISOString(),
    requests: info.requests,
    prompt_tokens: info.promptTokens,
    cached_tokens: info.cachedTokens,
    hit_rate: info.promptTokens === 0 ? 0 : info.cachedTokens / info.promptTokens,
  };
}
