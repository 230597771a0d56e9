/** OpenAI's chat completions, and all who speak them: DeepSeek, local servers, our own. */
import { randomUUID } from 'node:crypto';
import type OpenAI from 'openai';
import type {
  ChatCompletionAssistantMessageParam,
  ChatCompletionChunk,
  ChatCompletionCreateParamsStreaming,
  ChatCompletionMessageParam,
} from 'openai/resources/chat/completions';
import type { AssistantMessage, Message } from '../conversation.js';
import { type AnswerSink, keptFor, type ProviderAdapter } from './adapter.js';
import { LazyClient, loadClientLibrary, noTimeoutMs } from './client-library.js';
import { estimateRequest, estimateText } from './estimate.js';
import { cutShort, declined } from './failures.js';
import type { ApiKey } from './keys.js';
import type { ProviderAnswer, ProviderRequest, ProviderUsage } from './provider.js';

export interface OpenAiSetup {
  /** Of the provider, for what it kept. */
  readonly name: string;
  readonly baseUrl: string;
  /** Whether this is OpenAI itself, and not somebody who speaks as it does. */
  readonly isOpenAi: boolean;
  /** Whether it may keep a cache for each agent: our own server does. */
  readonly tellsAgent: boolean;
  readonly defaultModel: string;
  /** Longest prompt and answer together. */
  readonly contextTokens: number;
  /** @throws StompError PROVIDER_KEY_MISSING */
  readonly key: () => ApiKey | undefined;
}

/** What a message keeps for those who want the thoughts back between calls. */
interface Kept {
  readonly reasoning_content: string;
}

export class OpenAiAdapter implements ProviderAdapter {
  readonly defaultModel: string;
  readonly #setup: OpenAiSetup;
  readonly #client: LazyClient<OpenAI>;

  constructor(setup: OpenAiSetup) {
    this.defaultModel = setup.defaultModel;
    this.#setup = setup;
    this.#client = new LazyClient(setup.key, (key) => connect(key, setup.baseUrl));
  }

  async historyTokens({ maxTokens }: Pick<ProviderRequest, 'maxTokens'>): Promise<number> {
    return Math.max(0, this.#setup.contextTokens - maxTokens);
  }

  async countTokens(request: Omit<ProviderRequest, 'signal'>): Promise<number> {
    return estimateRequest(request);
  }

  redact(text: string): string {
    return this.#client.redact(text);
  }

  async ask(request: ProviderRequest, sink: AnswerSink): Promise<ProviderAnswer> {
    const client = await this.#client.get();
    const { signal, agentId } = request;
    const headers = this.#setup.tellsAgent ? { 'x-agent-id': agentId } : {};
    const stream = await client.chat.completions.create(bodyOf(request, this.#setup), { signal, headers });
    const answer = new AnswerParts(sink);
    for await (const chunk of stream) answer.add(chunk);
    return answer.whole(request);
  }

  /** Nothing was left with the provider. */
  async close(): Promise<void> {
    return undefined;
  }
}

async function connect(apiKey: string, baseURL: string): Promise<OpenAI> {
  const { default: Client } = await loadClientLibrary('openai', () => import('openai'));
  return new Client({
    apiKey,
    baseURL,
    // Nothing comes from the environment but what is named in the options.
    organization: null,
    project: null,
    maxRetries: 0,
    timeout: noTimeoutMs,
    logLevel: 'off',
  });
}

/** Those that think take no temperature. */
const thinkingModels = /^(o\d|gpt-5)/;

function bodyOf(request: ProviderRequest, setup: OpenAiSetup): ChatCompletionCreateParamsStreaming {
  const { model, maxTokens, temperature, agentId } = request;
  const own = {
    max_completion_tokens: maxTokens,
    prompt_cache_key: agentId,
    ...(thinkingModels.test(model) ? {} : { temperature }),
  };
  return {
    model,
    messages: messagesOf(request, setup.name),
    stream: true,
    stream_options: { include_usage: true },
    ...(setup.isOpenAi ? own : { max_tokens: maxTokens, temperature }),
    ...(request.tools.length === 0 ? {} : { tools: toolsOf(request) }),
    ...(request.mustCall === undefined
      ? {}
      : { tool_choice: { type: 'function', function: { name: request.mustCall } } }),
  };
}

function toolsOf({ tools }: ProviderRequest): ChatCompletionCreateParamsStreaming['tools'] & object {
  return tools.map(({ name, description, parameters }) => ({
    type: 'function',
    function: { name, description, parameters: { ...parameters } },
  }));
}

function messagesOf(request: ProviderRequest, provider: string): ChatCompletionMessageParam[] {
  const before = [request.system, ...request.context].filter((text) => text !== '').join('\n\n');
  const question = request.messages.findLastIndex(({ role }) => role === 'user');
  const messages = request.messages.flatMap((message, index) =>
    messageOf(message, index > question ? provider : undefined),
  );
  return before === '' ? messages : [{ role: 'system', content: before }, ...messages];
}

/** @param thinker whose thoughts go back with the message: those about the last question only */
function messageOf(message: Message, thinker: string | undefined): ChatCompletionMessageParam[] {
  switch (message.role) {
    case 'user':
      return [{ role: 'user', content: message.text }];
    case 'tool':
      return message.results.map(({ id, output }) => ({ role: 'tool', tool_call_id: id, content: output }));
    case 'assistant':
      return [assistantOf(message, thinker)];
  }
}

function assistantOf(
  message: AssistantMessage,
  thinker: string | undefined,
): ChatCompletionAssistantMessageParam {
  const kept = thinker === undefined ? undefined : (keptFor(thinker, message) as Kept | undefined);
  const calls = message.calls.map(({ id, name, arguments: text }) => ({
    id,
    type: 'function' as const,
    function: { name: takenName(name), arguments: text },
  }));
  return {
    role: 'assistant',
    content: message.text,
    ...(calls.length === 0 ? {} : { tool_calls: calls }),
    ...kept,
  };
}

/** A model may call for what no tool is called; sent back as it is, it would be refused, and the run with it. */
function takenName(name: string): string {
  return name.replace(/[^A-Za-z0-9_-]/g, '_').slice(0, 64) || 'unnamed';
}

/** What servers send beside what OpenAI's own do. */
interface ForeignDelta {
  readonly reasoning_content?: string | null;
}
interface ForeignUsage {
  readonly prompt_cache_hit_tokens?: number;
}

/** A call of which more may come. */
interface Call {
  id: string;
  name: string;
  arguments: string;
}

/** An answer put together from its chunks. */
class AnswerParts {
  readonly #sink: AnswerSink;
  readonly #calls: Call[] = [];
  /** By the index that the server gives them. */
  readonly #places = new Map<number, Call>();
  #text = '';
  #reasoning = '';
  #finish: string | undefined;
  #usage: ChatCompletionChunk['usage'];

  constructor(sink: AnswerSink) {
    this.#sink = sink;
  }

  add(chunk: ChatCompletionChunk): void {
    this.#sink.alive();
    if (chunk.usage) this.#usage = chunk.usage;
    const [choice] = chunk.choices;
    if (!choice) return;
    this.#finish = choice.finish_reason ?? this.#finish;
    const { content, tool_calls } = choice.delta;
    const { reasoning_content } = choice.delta as ForeignDelta;
    if (reasoning_content) this.#think(reasoning_content);
    if (content) this.#say(content);
    for (const call of tool_calls ?? []) this.#call(call);
  }

  /** @throws ProviderFailure when the end is missing, or was none of the model's */
  whole(request: ProviderRequest): ProviderAnswer {
    if (this.#finish === undefined) throw cutShort();
    return {
      text: this.#text,
      reasoning: this.#reasoning,
      calls: this.#calls.map((call) => ({ ...call, id: call.id || `call_${randomUUID()}` })),
      finish: finishOf(this.#finish, this.#calls.length > 0),
      usage: this.#used(request),
      ...(this.#reasoning === '' ? {} : { kept: { reasoning_content: this.#reasoning } satisfies Kept }),
    };
  }

  #think(text: string): void {
    this.#reasoning += text;
    this.#sink.reasoning(text);
  }

  #say(text: string): void {
    this.#text += text;
    this.#sink.text(text);
  }

  #call(delta: ChatCompletionChunk.Choice.Delta.ToolCall): void {
    const call = this.#continued(delta) ?? this.#begun();
    call.id ||= delta.id ?? '';
    call.name ||= delta.function?.name ?? '';
    call.arguments += delta.function?.arguments ?? '';
    if (Number.isInteger(delta.index)) this.#places.set(delta.index, call);
  }

  /** The call that this is more of. Some servers give no index, or the same to all calls. */
  #continued({
    index,
    id,
    function: { name } = {},
  }: ChatCompletionChunk.Choice.Delta.ToolCall): Call | undefined {
    const isPlaced = Number.isInteger(index);
    const call = isPlaced ? this.#places.get(index) : this.#calls.at(-1);
    if (!call || !name) return call;
    const isOther = id ? call.id !== '' && call.id !== id : !isPlaced;
    return isOther ? undefined : call;
  }

  #begun(): Call {
    const call: Call = { id: '', name: '', arguments: '' };
    this.#calls.push(call);
    return call;
  }

  /** Not everybody tells it. */
  #used(request: ProviderRequest): ProviderUsage {
    const usage = this.#usage;
    if (!usage) {
      const said = this.#text + this.#reasoning + JSON.stringify(this.#calls);
      return { input: estimateRequest(request), cached: 0, output: estimateText(said) };
    }
    const { prompt_cache_hit_tokens: hit } = usage as ForeignUsage;
    const cached = usage.prompt_tokens_details?.cached_tokens ?? hit ?? 0;
    return { input: usage.prompt_tokens, cached, output: usage.completion_tokens };
  }
}

function finishOf(reason: string, hasCalls: boolean): ProviderAnswer['finish'] {
  switch (reason) {
    case 'length':
      return 'length';
    case 'content_filter':
      throw declined('its filter for content');
    case 'insufficient_system_resource': // of DeepSeek: its servers could not go on
      throw cutShort();
    default:
      return hasCalls ? 'calls' : 'stop';
  }
}
