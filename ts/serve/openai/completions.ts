/** `POST /v1/completions`. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { checkModel } from '../../engine/model-name.js';
import type { Generation } from '../../engine/types.js';
import { announceAgent, type NamedTurn, resolveAgent } from '../identity.js';
import { resource } from '../resource.js';
import { optionsOfChoice } from '../sampling.js';
import type { ServedEngine, Service } from '../service.js';
import { runTurn } from '../turn.js';
import { answerFacts } from './answer-facts.js';
import { CHAT_FIELD_NAMES } from './chat-options.js';
import { completionFormat } from './completion-format.js';
import { type CompletionRequest, type RawPrompt, readCompletionRequest } from './completion-request.js';

export function completions(app: FastifyInstance, service: Service): void {
  resource(app, '/v1/completions', { POST: (request, reply) => complete(service, request, reply) });
}

async function complete(
  service: Service,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const engine = service.engine();
  announceAgent(request, reply);
  const body = readCompletionRequest(request.body);
  checkModel(body.model, service.model);
  const who = await agentOf(service, engine, request, body);
  const logprobs = body.options.topLogprobs !== undefined;
  const format = completionFormat({
    ...body,
    ...answerFacts('cmpl', service.model, engine, who.agentId),
    prompts: body.prompts.map((prompt) => (body.echo || logprobs ? textOf(prompt, engine) : '')),
    logprobs,
    tokenizer: engine.tokenizer,
  });
  return runTurn(service, request, reply, {
    agentId: who.agentId,
    stream: body.stream,
    format,
    fieldNames: CHAT_FIELD_NAMES,
    start: (signal) => startAnswers(engine, who.agentId, body, signal),
    settle: who.settle,
  });
}

/** A raw prompt is named as a conversation of one message, and never after one that was spoken in a chat. */
function agentOf(
  service: Service,
  engine: ServedEngine,
  request: FastifyRequest,
  { sessionId, prompts, options }: CompletionRequest,
): Promise<NamedTurn> {
  const [first] = prompts;
  const content = typeof first === 'string' ? first : JSON.stringify(first);
  const cacheSalt = JSON.stringify(['completion', typeof first, options.cacheSalt ?? '']);
  const messages = [{ role: 'user' as const, content }];
  return resolveAgent({ headers: request.headers, sessionId, messages, cacheSalt }, engine, service);
}

/** The first answer is the agent's; the others belong to nobody and share the blocks of their prompts. */
function startAnswers(
  engine: ServedEngine,
  agentId: string,
  { prompts, options, choices }: CompletionRequest,
  signal: AbortSignal,
): readonly [Generation, ...Generation[]] {
  const [first] = prompts;
  const own = engine.agent(agentId).generate(first, { ...options, signal });
  const others = prompts
    .flatMap((prompt) => Array.from({ length: choices }, (_, choice) => ({ prompt, choice })))
    .slice(1)
    .map(({ prompt, choice }) => engine.complete(prompt, { ...optionsOfChoice(options, choice), signal }));
  return [own, ...others];
}

function textOf(prompt: RawPrompt, engine: ServedEngine): string {
  return typeof prompt === 'string' ? prompt : engine.tokenizer.decode(prompt, { skipSpecial: false });
}
