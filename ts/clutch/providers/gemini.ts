/** Gemini, by Google's library. Instructions, context and tools are cached there; signed thoughts go back as they came. */
import { randomUUID } from 'node:crypto';
import type {
  Content,
  FunctionCallingConfigMode,
  GenerateContentParameters,
  GenerateContentResponse,
  GoogleGenAI,
  Part,
  ToolConfig,
} from '@google/genai';
import type { StompError } from '../../errors.js';
import type { AssistantMessage, Message, ToolCall } from '../conversation.js';
import { type AnswerSink, keptFor, type ProviderAdapter } from './adapter.js';
import { LazyClient, loadClientLibrary } from './client-library.js';
import { estimateRequest } from './estimate.js';
import { cutShort, declined, ProviderFailure } from './failures.js';
import { type CachePrefix, cacheTtlSeconds, GeminiCaches } from './gemini-cache.js';
import { fetchOrFail } from './gemini-http.js';
import { argumentsObject } from './json-arguments.js';
import type { ApiKey } from './keys.js';
import type { ProviderAnswer, ProviderRequest, ProviderUsage } from './provider.js';
import { splitText } from './trim.js';

/** Of the 900,000 tokens that a prompt may have. */
const historyTokens = 0.4 * 900_000;

export interface GeminiSetup {
  /** Of the provider, for what it kept. */
  readonly name: string;
  readonly baseUrl: string;
  readonly defaultModel: string;
  /** Whether thoughts are told; only models that think take the question. */
  readonly thoughts: boolean;
  /** What is shorter is not cached. */
  readonly cacheMinTokens: number;
  /** @throws StompError PROVIDER_KEY_MISSING */
  readonly key: () => ApiKey | undefined;
  /** Milliseconds. */
  readonly now: () => number;
  readonly onWarning: (warning: StompError) => void;
}

export class GeminiAdapter implements ProviderAdapter {
  readonly defaultModel: string;
  readonly #setup: GeminiSetup;
  readonly #client: LazyClient<GoogleGenAI>;
  readonly #caches: GeminiCaches;

  constructor(setup: GeminiSetup) {
    this.defaultModel = setup.defaultModel;
    this.#setup = setup;
    this.#client = new LazyClient(setup.key, (key) => connect(key, setup.baseUrl));
    this.#caches = new GeminiCaches({
      create: (prefix) => this.#cache(prefix),
      remove: (name) => this.#uncache(name),
      now: setup.now,
      onWarning: setup.onWarning,
    });
  }

  async historyTokens(): Promise<number> {
    return historyTokens;
  }

  async countTokens(request: Omit<ProviderRequest, 'signal'>): Promise<number> {
    return estimateRequest(request);
  }

  redact(text: string): string {
    return this.#client.redact(text);
  }

  async ask(request: ProviderRequest, sink: AnswerSink): Promise<ProviderAnswer> {
    const client = await this.#client.get();
    const prefix = prefixOf(request);
    // With cached content nothing may be said about the tools that are in it.
    const isFree = request.mustCall === undefined;
    const cachedContent = isFree ? await this.#caches.use(request.agentId, prefix) : undefined;
    const answer = new AnswerParts(sink);
    try {
      const stream = await client.models.generateContentStream(
        paramsOf(request, prefix, cachedContent, this.#setup),
      );
      for await (const chunk of stream) answer.add(chunk);
    } catch (error) {
      throw cachedContent === undefined ? error : await this.#lost(cachedContent, error);
    }
    return answer.whole();
  }

  close(): Promise<void> {
    return this.#caches.close();
  }

  /** Cached content may have ended, or been deleted by somebody else: then the next attempt makes it anew. */
  async #lost(name: string, error: unknown): Promise<unknown> {
    const isGone =
      error instanceof ProviderFailure &&
      (error.status === 403 || error.status === 404) &&
      /cached ?content/i.test(error.message);
    if (!isGone) return error;
    await this.#caches.forget(name);
    return new ProviderFailure(error.message, { status: error.status, passing: true, waitMs: 0 });
  }

  async #cache(prefix: CachePrefix): Promise<string | undefined> {
    const { caches, models } = await this.#client.get();
    const { model } = prefix;
    const text = JSON.stringify([...prefix.system, ...prefix.tools]);
    const { totalTokens = 0 } = await models.countTokens({ model, contents: text });
    if (totalTokens < this.#setup.cacheMinTokens) return undefined;
    try {
      const ttl = `${cacheTtlSeconds}s`;
      const made = await caches.create({ model, config: { ...configOf(prefix), ttl } });
      return made.name;
    } catch (error) {
      // A model that caches nothing, or not so little: the prompt goes along whole.
      if (error instanceof ProviderFailure && error.status === 400) return undefined;
      throw error;
    }
  }

  async #uncache(name: string): Promise<void> {
    const { caches } = await this.#client.get();
    try {
      await caches.delete({ name });
    } catch (error) {
      const isGone = error instanceof ProviderFailure && (error.status === 403 || error.status === 404);
      if (!isGone) throw error;
    }
  }
}

async function connect(apiKey: string, baseUrl: string): Promise<GoogleGenAI> {
  const { GoogleGenAI: Client } = await loadClientLibrary('@google/genai', () => import('@google/genai'));
  return new Client({ apiKey, vertexai: false, httpOptions: { baseUrl, fetch: fetchOrFail } });
}

function prefixOf({ model, system, context, tools }: ProviderRequest): CachePrefix {
  return {
    model,
    system: [system, ...context].flatMap((text) => splitText(text)),
    tools: tools.map(({ name, description, parameters }) => ({
      name,
      description,
      parametersJsonSchema: parameters,
    })),
  };
}

/** What stands before the messages, whether cached or sent along. */
function configOf({ system, tools }: CachePrefix) {
  return {
    ...(system.length === 0 ? {} : { systemInstruction: { parts: system.map((text) => ({ text })) } }),
    ...(tools.length === 0 ? {} : { tools: [{ functionDeclarations: [...tools] as object[] }] }),
  };
}

function paramsOf(
  request: ProviderRequest,
  prefix: CachePrefix,
  cachedContent: string | undefined,
  { name, thoughts }: GeminiSetup,
): GenerateContentParameters {
  return {
    model: request.model,
    contents: request.messages.flatMap((message) => contentOf(message, name)),
    config: {
      ...(cachedContent === undefined ? configOf(prefix) : { cachedContent }),
      ...(request.mustCall === undefined ? {} : { toolConfig: toolConfigOf(request.mustCall) }),
      ...(thoughts ? { thinkingConfig: { includeThoughts: true } } : {}),
      temperature: request.temperature,
      maxOutputTokens: request.maxTokens,
      abortSignal: request.signal,
    },
  };
}

function toolConfigOf(name: string): ToolConfig {
  // The library's own name for it would load the library.
  const mode = 'ANY' as FunctionCallingConfigMode;
  return { functionCallingConfig: { mode, allowedFunctionNames: [name] } };
}

/** Begins the ids of calls that came without one; the model does not know them. */
const unnamed = 'unnamed-';

function contentOf(message: Message, provider: string): Content[] {
  switch (message.role) {
    case 'user':
      return [{ role: 'user', parts: [{ text: message.text }] }];
    case 'tool': {
      const parts = message.results.map(({ id, name, output, failed }) => ({
        functionResponse: {
          ...idOf(id),
          name,
          response: failed ? { error: output } : { output },
        },
      }));
      return [{ role: 'user', parts }];
    }
    case 'assistant': {
      const parts = partsOf(message, provider);
      return parts.length === 0 ? [] : [{ role: 'model', parts }];
    }
  }
}

function partsOf(message: AssistantMessage, provider: string): Part[] {
  const kept = keptFor(provider, message) as Part[] | undefined;
  if (kept) return kept;
  const calls = message.calls.map(
    ({ id, name, arguments: text }): Part => ({
      functionCall: { ...idOf(id), name, args: argumentsObject(text) },
    }),
  );
  return message.text === '' ? calls : [{ text: message.text }, ...calls];
}

function idOf(id: string): { id?: string } {
  return id.startsWith(unnamed) ? {} : { id };
}

/** An answer put together from its chunks. */
class AnswerParts {
  readonly #sink: AnswerSink;
  readonly #parts: Part[] = [];
  #finish: string | undefined;
  #usage: ProviderUsage = { input: 0, cached: 0, output: 0 };

  constructor(sink: AnswerSink) {
    this.#sink = sink;
  }

  /** @throws ProviderFailure when the prompt is refused */
  add(chunk: GenerateContentResponse): void {
    this.#sink.alive();
    const blocked = chunk.promptFeedback?.blockReason;
    if (blocked) throw declined(blocked);
    if (chunk.usageMetadata) this.#usage = usageOf(chunk.usageMetadata);
    const [candidate] = chunk.candidates ?? [];
    this.#finish = candidate?.finishReason ?? this.#finish;
    for (const part of candidate?.content?.parts ?? []) this.#take(part);
  }

  /** @throws ProviderFailure when the end is missing, or was none of the model's */
  whole(): ProviderAnswer {
    if (this.#finish === undefined) throw cutShort();
    const calls = this.#parts.flatMap(({ functionCall }): ToolCall[] => {
      if (!functionCall) return [];
      const { id = unnamed + randomUUID(), name = '', args = {} } = functionCall;
      return [{ id, name, arguments: JSON.stringify(args) }];
    });
    return {
      text: this.#joined(false),
      reasoning: this.#joined(true),
      calls,
      finish: finishOf(this.#finish, calls.length > 0),
      usage: this.#usage,
      kept: this.#parts,
    };
  }

  #take(part: Part): void {
    const { text = '', thought = false } = part;
    if (text !== '') this.#sink[thought ? 'reasoning' : 'text'](text);
    const last = this.#parts.at(-1);
    if (last && isPlain(last) && isPlain(part) && (last.thought ?? false) === thought) last.text += text;
    else this.#parts.push({ ...part });
  }

  #joined(wanted: boolean): string {
    return this.#parts.map(({ text = '', thought = false }) => (thought === wanted ? text : '')).join('');
  }
}

/** Text that nothing else belongs to, so that pieces may be joined. */
function isPlain(part: Part): boolean {
  return Object.keys(part).every((field) => field === 'text' || field === 'thought');
}

function usageOf(usage: NonNullable<GenerateContentResponse['usageMetadata']>): ProviderUsage {
  const { promptTokenCount = 0, cachedContentTokenCount = 0 } = usage;
  const { candidatesTokenCount = 0, thoughtsTokenCount = 0 } = usage;
  return {
    input: promptTokenCount,
    cached: cachedContentTokenCount,
    output: candidatesTokenCount + thoughtsTokenCount,
  };
}

function finishOf(reason: string, hasCalls: boolean): ProviderAnswer['finish'] {
  if (reason === 'MAX_TOKENS') return 'length';
  if (reason !== 'STOP') throw declined(reason);
  return hasCalls ? 'calls' : 'stop';
}
