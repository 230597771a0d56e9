/** Our own engine, in this process. An agent's cache is found by its id, so a conversation that grows costs its end. */
import type { Engine } from '../../engine/engine.js';
import type { Lease } from '../../engine/leases.js';
import { checkModel } from '../../engine/model-name.js';
import type { ModelStatus } from '../../engine/model-status.js';
import type { ChatMessage, ChatOptions, Generation } from '../../engine/types.js';
import { StompError } from '../../errors.js';
import type { AssistantMessage, Message } from '../conversation.js';
import { type AnswerSink, keptFor, type ProviderAdapter } from './adapter.js';
import { estimateRequest } from './estimate.js';
import type { ProviderAnswer, ProviderRequest } from './provider.js';

/** What is used of a `ModelRegistry`, or of a server's source of engines. */
export interface EngineModels {
  current(): Pick<ModelStatus, 'model' | 'aliases'>;
  /** @throws StompError MODEL_SWAP, ENGINE_UNAVAILABLE, SHUTTING_DOWN, CANCELLED */
  acquire(signal: AbortSignal): Promise<Lease<Pick<Engine, 'info' | 'agent' | 'countTokens'>>>;
}

export interface EngineSetup {
  /** Of the provider, for what it kept. */
  readonly name: string;
  readonly models: EngineModels;
}

/** What a message keeps: thoughts are part of what the cache holds. */
interface Kept {
  readonly reasoning: string;
}

/** For counts, which take no signal of their own. */
const unstoppable = new AbortController().signal;

export class EngineAdapter implements ProviderAdapter {
  readonly #setup: EngineSetup;

  constructor(setup: EngineSetup) {
    this.#setup = setup;
  }

  /** The model that is loaded. */
  get defaultModel(): string {
    return this.#setup.models.current().model ?? 'default';
  }

  historyTokens({ maxTokens }: Pick<ProviderRequest, 'maxTokens'>): Promise<number> {
    return this.#leased(unstoppable, async ({ engine }) =>
      Math.max(0, engine.info.contextTokens - maxTokens),
    );
  }

  countTokens(request: Omit<ProviderRequest, 'signal'>): Promise<number> {
    const { agentId } = request;
    const messages = messagesOf(request, this.#setup.name);
    return this.#leased(unstoppable, ({ engine }) =>
      engine.countTokens(messages, { agentId, tools: request.tools }).catch((error: unknown) => {
        // Of what is much too long the engine tells the least that it can be.
        if (!(error instanceof StompError) || error.code !== 'CONTEXT_OVERFLOW') throw error;
        return Math.max(estimateRequest(request), Number(error.fields['promptTokens']));
      }),
    );
  }

  redact(text: string): string {
    return text; // there is no key
  }

  ask(request: ProviderRequest, sink: AnswerSink): Promise<ProviderAnswer> {
    return this.#leased(request.signal, async ({ engine, signal: leaving }) => {
      this.#checkModel(request.model);
      const { agentId, temperature, maxTokens, tools, mustCall } = request;
      const options: ChatOptions = {
        temperature,
        maxTokens,
        tools,
        ...(mustCall === undefined ? {} : { toolChoice: { name: mustCall } }),
        signal: AbortSignal.any([request.signal, leaving]),
        onPrefill: () => sink.alive(),
      };
      const messages = messagesOf(request, this.#setup.name);
      try {
        return await answerOf(engine.agent(agentId).chat(messages, options), sink);
      } catch (error) {
        // The model goes; the next one may answer.
        throw leaving.aborted ? leaving.reason : error;
      }
    });
  }

  /** The engine is closed by whoever loaded it. */
  async close(): Promise<void> {
    return undefined;
  }

  #checkModel(name: string): void {
    const { model: id, aliases } = this.#setup.models.current();
    if (id !== undefined) checkModel(name, { id, aliases });
  }

  async #leased<T>(
    signal: AbortSignal,
    work: (lease: Lease<Pick<Engine, 'info' | 'agent' | 'countTokens'>>) => Promise<T>,
  ): Promise<T> {
    const lease = await this.#setup.models.acquire(signal);
    try {
      return await work(lease);
    } finally {
      lease.release();
    }
  }
}

async function answerOf(generation: Generation, sink: AnswerSink): Promise<ProviderAnswer> {
  for await (const chunk of generation) {
    if (chunk.type === 'text') sink.text(chunk.text);
    else if (chunk.type === 'reasoning') sink.reasoning(chunk.text);
    else sink.alive();
  }
  const { text, reasoning, toolCalls, finishReason, usage } = await generation.result;
  return {
    text,
    reasoning,
    calls: toolCalls,
    finish: finishOf(finishReason),
    usage: { input: usage.promptTokens, cached: usage.cachedTokens, output: usage.generatedTokens },
    ...(reasoning === '' ? {} : { kept: { reasoning } satisfies Kept }),
  };
}

function finishOf(reason: string): ProviderAnswer['finish'] {
  if (reason === 'tool_calls') return 'calls';
  return reason === 'length' ? 'length' : 'stop';
}

function messagesOf(request: Omit<ProviderRequest, 'signal'>, provider: string): ChatMessage[] {
  const before = [request.system, ...request.context].filter((text) => text !== '').join('\n\n');
  const messages = request.messages.flatMap((message) => messageOf(message, provider));
  return before === '' ? messages : [{ role: 'system', content: before }, ...messages];
}

function messageOf(message: Message, provider: string): ChatMessage[] {
  switch (message.role) {
    case 'user':
      return [{ role: 'user', content: message.text }];
    case 'tool':
      return message.results.map(({ id, name, output }) => ({
        role: 'tool',
        content: output,
        name,
        toolCallId: id,
      }));
    case 'assistant':
      return [assistantOf(message, provider)];
  }
}

function assistantOf(message: AssistantMessage, provider: string): ChatMessage {
  const kept = keptFor(provider, message) as Kept | undefined;
  return {
    role: 'assistant',
    content: message.text,
    ...(message.calls.length === 0 ? {} : { toolCalls: message.calls }),
    ...kept,
  };
}
