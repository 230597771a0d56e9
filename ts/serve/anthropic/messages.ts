/** `POST /v1/messages` and `POST /v1/messages/count_tokens`. Betas named in headers change nothing. */
import { randomUUID } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { checkAgentId } from '../../engine/agent-id.js';
import { checkModel } from '../../engine/model-name.js';
import { type FieldNames, renamed } from '../field-names.js';
import { announceAgent, resolveAgent } from '../identity.js';
import { resource } from '../resource.js';
import type { Service } from '../service.js';
import { runTurn } from '../turn.js';
import { anthropicErrorBody } from './error-body.js';
import { messageFormat } from './message-format.js';
import { readCountRequest, readMessageRequest } from './message-request.js';

const options = { errorBody: anthropicErrorBody };

/** What the engine calls otherwise. */
const fieldNames: FieldNames = [
  [/^responseFormat\.schema/, 'output_config.format.schema'],
  [/^tools\.([^/]*)\.parameters/, 'tools.$1.input_schema'],
];

export function messages(app: FastifyInstance, service: Service): void {
  const create = (request: FastifyRequest, reply: FastifyReply) => answer(service, request, reply);
  resource(app, '/v1/messages', { POST: create }, options);
  resource(app, '/v1/messages/count_tokens', { POST: (request) => count(service, request) }, options);
}

async function answer(service: Service, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  announceAgent(request, reply);
  const engine = service.engine();
  const asked = readMessageRequest(request.body);
  checkModel(asked.model, service.model);
  const { messages: conversation, sampling } = asked;
  const who = await resolveAgent(
    {
      headers: request.headers,
      sessionId: undefined,
      messages: conversation,
      tools: asked.options.tools ?? [],
      cacheSalt: sampling.cacheSalt ?? '',
    },
    engine,
    service,
  );
  const format = messageFormat({
    id: `msg_${randomUUID().replaceAll('-', '')}`,
    model: service.model.id,
    requestId: request.id,
    maxTokens: sampling.maxTokens,
    thinking: asked.thinking,
    editsContext: asked.editsContext,
  });
  return runTurn(service, request, reply, {
    agentId: who.agentId,
    stream: asked.stream,
    format,
    fieldNames,
    start: (signal) => [
      engine.agent(who.agentId).chat(conversation, { ...asked.options, ...sampling, signal }),
    ],
    settle: who.settle,
  });
}

/** An agent that is named may have said something before, which counts as it was said. */
function namedAgent({ headers }: FastifyRequest): { agentId?: string } {
  const name = headers['x-agent-id'] ?? headers['x-session-id'];
  if (name === undefined) return {};
  const field = headers['x-agent-id'] === undefined ? 'X-Session-ID' : 'X-Agent-ID';
  return { agentId: checkAgentId(String(name), field) };
}

async function count(service: Service, request: FastifyRequest): Promise<object> {
  const engine = service.engine();
  const asked = readCountRequest(request.body);
  checkModel(asked.model, service.model);
  const tokens = await engine
    .countTokens(asked.messages, { ...asked.options, ...namedAgent(request) })
    .catch((error: unknown) => Promise.reject(renamed(error, fieldNames)));
  return {
    input_tokens: tokens,
    ...(asked.editsContext ? { context_management: { original_input_tokens: tokens } } : {}),
  };
}
