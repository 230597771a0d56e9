/** `POST /v1/agents/{id}/generate`: a turn of a named agent, whole or as a stream. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { checkModel } from '../../engine/model-name.js';
import type { ChatOptions, Generation } from '../../engine/types.js';
import { StompError } from '../../errors.js';
import { Fields } from '../fields.js';
import { CHAT_FIELD_NAMES, readChatOptions } from '../openai/chat-options.js';
import { readMessages } from '../openai/messages.js';
import { resource } from '../resource.js';
import type { ServedEngine, Service } from '../service.js';
import { runTurn } from '../turn.js';
import { agentFormat } from './agent-format.js';
import { agentOf } from './agents.js';

interface GenerateRequest {
  readonly model: string | undefined;
  readonly stream: boolean;
  readonly logprobs: boolean;
  start(engine: ServedEngine, agentId: string, signal: AbortSignal): Generation;
}

/** What only a chat can be asked for, by its names in options and body. */
const CHAT_ONLY = [
  ['tools', 'tools'],
  ['responseFormat', 'response_format'],
  ['reasoning', 'reasoning_effort'],
] as const;

export function generate(app: FastifyInstance, service: Service): void {
  resource(app, '/v1/agents/:id/generate', { POST: (request, reply) => answer(service, request, reply) });
}

function answer(service: Service, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const engine = service.engine();
  const agentId = agentOf(request);
  reply.header('x-agent-id', agentId);
  const body = readGenerateRequest(request.body);
  checkModel(body.model, service.model);
  return runTurn(service, request, reply, {
    agentId,
    stream: body.stream,
    format: agentFormat({
      agentId,
      model: service.model.id,
      logprobs: body.logprobs,
      tokenizer: engine.tokenizer,
    }),
    fieldNames: CHAT_FIELD_NAMES,
    start: (signal) => [body.start(engine, agentId, signal)],
  });
}

/** Exactly one of `message`, `messages` and `prompt`. @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD */
function readGenerateRequest(body: unknown): GenerateRequest {
  const fields = new Fields(body);
  const options = readChatOptions(fields);
  const model = fields.text('model');
  const stream = fields.flag('stream') ?? false;
  const start = readInput(fields, options);
  fields.end();
  return { model, stream, logprobs: options.topLogprobs !== undefined, start };
}

function readInput(fields: Fields, options: ChatOptions): GenerateRequest['start'] {
  const prompt = fields.text('prompt');
  const message = fields.text('message');
  const system = fields.text('system');
  const hasMessages = fields.raw('messages') !== undefined;
  const given = [prompt, message].filter((text) => text !== undefined).length + (hasMessages ? 1 : 0);
  if (given !== 1) {
    throw new StompError('INVALID_REQUEST', 'Send exactly one of "message", "messages" and "prompt".', {
      fields: { field: 'message', allowed: 'one of message, messages, prompt' },
    });
  }
  if (system !== undefined && message === undefined) {
    throw fields.invalid('system', system, 'left out unless "message" is given');
  }
  if (prompt !== undefined) {
    refuseForPrompt(fields, options);
    return (engine, id, signal) => engine.agent(id).generate(prompt, { ...options, signal });
  }
  if (message !== undefined) {
    const opening = system === undefined ? {} : { system };
    return (engine, id, signal) => engine.agent(id).chat(message, { ...options, ...opening, signal });
  }
  const messages = readMessages(fields);
  return (engine, id, signal) => engine.agent(id).chat(messages, { ...options, signal });
}

function refuseForPrompt(fields: Fields, options: ChatOptions): void {
  for (const [option, field] of CHAT_ONLY) {
    const value = options[option];
    if (value !== undefined) throw fields.invalid(field, value, 'left out with "prompt"');
  }
}
