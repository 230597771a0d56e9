/** `/mcp`: MCP over Streamable HTTP. */
import { ErrorCode } from '@modelcontextprotocol/sdk/types.js';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { StompError } from '../../errors.js';
import { McpHttp } from '../../mcp/index.js';
import type { Toolbox } from '../../tools/toolbox.js';
import { requireRole } from '../access/caller.js';
import { faultDetail, faultFields } from '../fault-log.js';
import { resource } from '../resource.js';
import type { Service } from '../service.js';

export function mcpRoute(app: FastifyInstance, service: Service, tools: Toolbox): void {
  const mcp = new McpHttp({
    tools,
    onError: (error) => app.log.debug({ reason: error.message }, 'a message does not fit the protocol'),
  });
  const answer = async (request: FastifyRequest, reply: FastifyReply, signal?: AbortSignal) => {
    reply.hijack();
    for (const [name, value] of Object.entries(reply.getHeaders())) reply.raw.setHeader(name, value ?? '');
    await mcp.handle(request.raw, reply.raw, request.body, signal).catch((error: unknown) => {
      request.log.error(faultFields(error), 'a request failed');
      request.log.debug(faultDetail(error), 'why');
      reply.raw.destroy();
    });
  };
  resource(
    app,
    '/mcp',
    {
      // A stream that stays open until either side closes it: no work that closing would wait for.
      GET: (request, reply) => answer(request, reply),
      DELETE: (request, reply) => answer(request, reply),
      POST: async (request, reply) => {
        for (const name of toolsCalled(request.body)) requireRole(request, roleOf(tools, name));
        const turn = service.beginTurn(reply.raw);
        reply.raw.once('close', () => service.endTurn(turn));
        await answer(request, reply, turn.signal);
      },
    },
    { errorBody: rpcErrorBody, bodyLimitBytes: tools.maxRequestBytes },
  );
  app.addHook('preClose', () => mcp.close());
}

/** By the messages of a body, which may be anything. */
function toolsCalled(body: unknown): unknown[] {
  const messages: unknown[] = Array.isArray(body) ? body : [body];
  return messages.map((message) => (message as { params?: { name?: unknown } } | null)?.params?.name);
}

/** Of a tool that there is not, the session tells. */
function roleOf(tools: Toolbox, name: unknown): 'admin' | 'user' {
  return (typeof name === 'string' && tools.find(name)?.role) || 'user';
}

/** What is refused before it reaches a session. */
function rpcErrorBody(error: StompError): object {
  const code = error.fields.field === 'body' ? ErrorCode.ParseError : ErrorCode.InvalidRequest;
  const { message, fields } = error;
  return { jsonrpc: '2.0', error: { code, message, data: { ...fields, code: error.code } }, id: null };
}
