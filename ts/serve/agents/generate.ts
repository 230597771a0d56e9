/** `POST /v1/agents/{id}/generate`: a turn of a named agent, whole or as a stream. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { GenerateOptions, Generation, GenerationResult, Usage } from '../../engine/types.js';
import { StompError } from '../../errors.js';
import { Fields } from '../fields.js';
import { checkModel } from '../model-name.js';
import { readMessages } from '../openai/messages.js';
import { resource } from '../resource.js';
import { readSampling } from '../sampling.js';
import type { ServedEngine, Service } from '../service.js';
import { type AnswerFormat, runTurn } from '../turn.js';
import { errorBody } from '../wire-errors.js';
import { agentOf } from './agents.js';

interface GenerateRequest {
  readonly model: string | undefined;
  readonly stream: boolean;
  start(engine: ServedEngine, agentId: string, signal: AbortSignal): Generation;
}

export function generate(app: FastifyInstance, service: Service): void {
  resource(app, '/v1/agents/:id/generate', { POST: (request, reply) => answer(service, request, reply) });
}

function answer(service: Service, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const engine = service.engine();
  const agentId = agentOf(request);
  const body = readGenerateRequest(request.body);
  checkModel(body.model, service.model);
  return runTurn(service, request, reply, {
    agentId,
    stream: body.stream,
    format: agentFormat(agentId, service.model.id),
    start: (signal) => [body.start(engine, agentId, signal)],
  });
}

/** Exactly one of `message`, `messages` and `prompt`. @throws StompError INVALID_REQUEST */
function readGenerateRequest(body: unknown): GenerateRequest {
  const fields = new Fields(body);
  const options = readSampling(fields);
  const model = fields.text('model');
  const stream = fields.flag('stream') ?? false;
  const start = readInput(fields, options);
  fields.end();
  return { model, stream, start };
}

function readInput(fields: Fields, options: GenerateOptions): GenerateRequest['start'] {
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
    return (engine, id, signal) => engine.agent(id).generate(prompt, { ...options, signal });
  }
  if (message !== undefined) {
    const opening = system === undefined ? {} : { system };
    return (engine, id, signal) => engine.agent(id).chat(message, { ...options, ...opening, signal });
  }
  const messages = readMessages(fields);
  return (engine, id, signal) => engine.agent(id).chat(messages, { ...options, signal });
}

/** The stream's events are pieces of the whole: texts first, finish reason and usage last. */
function agentFormat(agentId: string, model: string): AnswerFormat {
  const ending = (result: GenerationResult) => ({
    finish_reason: result.finishReason,
    usage: usageBody(result.usage),
  });
  return {
    whole: ([result]) => ({ agent_id: agentId, model, text: result?.text, ...(result && ending(result)) }),
    opening: () => [],
    piece: (piece) =>
      piece.type === 'text' && piece.text !== '' ? [{ data: { agent_id: agentId, text: piece.text } }] : [],
    ended: (result) => [{ data: { agent_id: agentId, model, text: '', ...ending(result) } }],
    closing: () => [{ data: '[DONE]' }],
    failure: (error) => ({ data: errorBody(error) }),
  };
}

function usageBody(usage: Usage): object {
  return {
    prompt_tokens: usage.promptTokens,
    cached_tokens: usage.cachedTokens,
    computed_tokens: usage.computedTokens,
    generated_tokens: usage.generatedTokens,
    own_tokens: usage.ownTokens,
    shared_tokens: usage.sharedTokens,
    restored_tokens: usage.restoredTokens,
    miss_reason: usage.missReason === '' ? null : usage.missReason,
    queued_ms: usage.queuedMs,
    first_token_ms: usage.firstTokenMs,
    total_ms: usage.totalMs,
  };
}
