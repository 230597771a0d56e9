/** `POST /v1/chat/completions`. */
import { randomUUID } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { resolveAgent } from '../identity.js';
import { checkModel } from '../model-name.js';
import { resource } from '../resource.js';
import type { Service } from '../service.js';
import { runTurn } from '../turn.js';
import { chatFormat } from './chat-format.js';
import { readChatRequest } from './chat-request.js';

export function chatCompletions(app: FastifyInstance, service: Service): void {
  resource(app, '/v1/chat/completions', { POST: (request, reply) => complete(service, request, reply) });
}

function complete(service: Service, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const engine = service.engine();
  const chat = readChatRequest(request.body);
  checkModel(chat.model, service.model);
  const who = resolveAgent(
    {
      headers: request.headers,
      sessionId: chat.sessionId,
      messages: chat.messages,
      cacheSalt: chat.options.cacheSalt ?? '',
    },
    service.anonymous,
  );
  const format = chatFormat({
    id: `chatcmpl-${randomUUID().replaceAll('-', '')}`,
    created: Math.floor(Date.now() / 1000),
    model: service.model.id,
    fingerprint: `fp_${engine.info.fingerprint.slice(0, 10)}`,
    agentId: who.agentId,
    includeUsage: chat.includeUsage,
  });
  return runTurn(service, request, reply, {
    agentId: who.agentId,
    stream: chat.stream,
    format,
    start: (signal) => [engine.agent(who.agentId).chat(chat.messages, { ...chat.options, signal })],
    settle: (answer) => who.settle?.(answer?.text),
  });
}
