/** `POST /v1/chat/completions`. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { checkModel } from '../../engine/model-name.js';
import type { Generation } from '../../engine/types.js';
import { announceAgent, resolveAgent } from '../identity.js';
import { resource } from '../resource.js';
import { optionsOfChoice } from '../sampling.js';
import type { ServedEngine, Service } from '../service.js';
import { runTurn } from '../turn.js';
import { answerFacts } from './answer-facts.js';
import { chatFormat } from './chat-format.js';
import { CHAT_FIELD_NAMES } from './chat-options.js';
import { type ChatRequest, readChatRequest } from './chat-request.js';

export function chatCompletions(app: FastifyInstance, service: Service): void {
  resource(app, '/v1/chat/completions', { POST: (request, reply) => complete(service, request, reply) });
}

async function complete(
  service: Service,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const engine = service.engine();
  announceAgent(request, reply);
  const chat = readChatRequest(request.body);
  checkModel(chat.model, service.model);
  const { messages, options } = chat;
  const who = await resolveAgent(
    {
      headers: request.headers,
      sessionId: chat.sessionId,
      messages,
      tools: options.tools ?? [],
      cacheSalt: options.cacheSalt ?? '',
    },
    engine,
    service,
  );
  const format = chatFormat({
    ...chat,
    ...answerFacts('chatcmpl', service.model, engine, who.agentId),
    logprobs: options.topLogprobs !== undefined,
    tokenizer: engine.tokenizer,
  });
  return runTurn(service, request, reply, {
    agentId: who.agentId,
    stream: chat.stream,
    format,
    fieldNames: CHAT_FIELD_NAMES,
    start: (signal) => startChoices(engine, who.agentId, chat, signal),
    settle: who.settle,
  });
}

/** The first answer is the agent's; the others belong to nobody and share the blocks of its prompt. */
function startChoices(
  engine: ServedEngine,
  agentId: string,
  { messages, options, choices }: ChatRequest,
  signal: AbortSignal,
): readonly [Generation, ...Generation[]] {
  const first = engine.agent(agentId).chat(messages, { ...options, signal });
  const others = Array.from({ length: choices - 1 }, (_, i) =>
    engine.chat(messages, { ...optionsOfChoice(options, i + 1), signal }),
  );
  return [first, ...others];
}
