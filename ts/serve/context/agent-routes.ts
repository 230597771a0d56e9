/** `/v1/agents/{id}/project` and `/v1/agents/{id}/sessions`. They need no engine. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { AgentContextManager, CurrentProject } from '../../context/index.js';
import { checkAgentId } from '../../engine/agent-id.js';
import { StompError } from '../../errors.js';
import { type ObjectSchema, readArguments } from '../../tools/parameters.js';
import { type ResourceOptions, resource } from '../resource.js';
import { type Asked, type Call, pathOf } from '../tools/path-call.js';
import { etagOf, expectedVersion, isKnown } from './etag.js';

const version = {
  type: 'integer',
  description: 'The version to change',
  minimum: 0,
  maximum: Number.MAX_SAFE_INTEGER,
} as const;
const session = { type: 'string', description: 'A session of the agent' } as const;
const writer = { type: 'string', description: 'Who does it' } as const;
const change = {
  project: { type: ['string', 'null'], description: 'The name of a project; null for none' },
  expected_version: version,
  session_id: session,
  updated_by: writer,
} as const;
const setSchema = {
  type: 'object',
  properties: change,
  required: ['project'],
  additionalProperties: false,
} as const satisfies ObjectSchema;
const clearSchema = {
  type: 'object',
  properties: { expected_version: version, session_id: session, updated_by: writer },
  required: [],
  additionalProperties: false,
} as const satisfies ObjectSchema;

export function agentRoutes(
  app: FastifyInstance,
  manager: AgentContextManager,
  call: Call,
  asked: Asked,
  options: ResourceOptions,
): void {
  const answer = async (reply: FastifyReply, current: object): Promise<object> => {
    void reply.header('etag', etagOf((current as CurrentProject).version));
    return current;
  };
  const set = async (request: FastifyRequest, reply: FastifyReply, args: ReturnType<typeof changeOf>) => {
    const agentId = checkAgentId(pathOf(request)['id'] ?? '', 'agent_id');
    try {
      const { created: _, ...current } = (await call({
        request,
        reply,
        tool: 'set_project',
        path: { agent_id: agentId },
        args: { ...args, expected_version: expectedVersion(request.headers, args.expected_version) },
      })) as CurrentProject & { created: boolean };
      return await answer(reply, current);
    } catch (error) {
      if (error instanceof StompError && error.code === 'VERSION_CONFLICT')
        void reply.header('etag', etagOf(Number(error.fields.actual)));
      throw error;
    }
  };

  resource(
    app,
    '/v1/agents/:id/project',
    {
      GET: async (request, reply) => {
        const current = await manager.getCurrentProject(
          checkAgentId(pathOf(request)['id'] ?? '', 'agent_id'),
        );
        if (!isKnown(request.headers['if-none-match'], current.version)) return answer(reply, current);
        return reply.code(304).header('etag', etagOf(current.version)).send();
      },
      PUT: (request, reply) => {
        const { project, ...rest } = readArguments(setSchema, asked(request, 'set_project'));
        return set(request, reply, changeOf(project, rest));
      },
      DELETE: (request, reply) =>
        set(request, reply, changeOf(null, readArguments(clearSchema, asked(request, 'set_project')))),
    },
    options,
  );
  sessionRoutes(app, manager, call, options);
}

/** Projects are created at a path of their own. */
function changeOf(name: string | null, rest: { readonly expected_version?: number }) {
  return { name, create: false, ...rest };
}

function sessionRoutes(
  app: FastifyInstance,
  manager: AgentContextManager,
  call: Call,
  options: ResourceOptions,
): void {
  const named = (request: FastifyRequest) => {
    const { id, sid } = pathOf(request);
    return { agent_id: id, session_id: sid };
  };
  resource(
    app,
    '/v1/agents/:id/sessions',
    {
      GET: (request, reply) =>
        call({ request, reply, tool: 'session_list', path: { agent_id: pathOf(request)['id'] } }),
      POST: (request, reply) =>
        call({
          request,
          reply: reply.code(201),
          tool: 'session_start',
          path: { agent_id: pathOf(request)['id'] },
        }),
    },
    options,
  );
  resource(
    app,
    '/v1/agents/:id/sessions/:sid',
    {
      GET: async (request) => {
        const { id = '', sid = '' } = pathOf(request);
        const found = await manager.getSession(sid);
        if (found.agent_id === checkAgentId(id, 'agent_id')) return found;
        throw new StompError('SESSION_MISMATCH', `Session ${sid} is not one of ${id}.`, {
          fields: {
            field: 'session_id',
            agent_id: id,
            session_id: sid,
            session_agent_id: found.agent_id,
          },
        });
      },
      DELETE: (request, reply) => call({ request, reply, tool: 'session_end', path: named(request) }),
    },
    options,
  );
  resource(
    app,
    '/v1/agents/:id/sessions/:sid/heartbeat',
    { POST: (request, reply) => call({ request, reply, tool: 'session_heartbeat', path: named(request) }) },
    options,
  );
}
