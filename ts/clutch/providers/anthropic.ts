/** Anthropic's messages. What the model answers goes back word for word, signed thoughts included. */
import type Anthropic from '@anthropic-ai/sdk';
import type { ToolCall } from '../conversation.js';
import type { AnswerSink, ProviderAdapter } from './adapter.js';
import { type Content, type ContentBlock, messageParams } from './anthropic-prompt.js';
import { LazyClient, loadClientLibrary, noTimeoutMs } from './client-library.js';
import { estimateRequest } from './estimate.js';
import { cutShort, declined } from './failures.js';
import { argumentsObject } from './json-arguments.js';
import type { ApiKey } from './keys.js';
import type { ProviderAnswer, ProviderRequest, ProviderUsage } from './provider.js';

/** What all models take, with room for the answer. */
const historyTokens = 180_000;

export interface AnthropicSetup {
  /** Of the provider, for what it kept. */
  readonly name: string;
  readonly baseUrl: string;
  /** Whether it may keep a cache for each agent: our own server does. */
  readonly tellsAgent: boolean;
  readonly defaultModel: string;
  /** Undefined: as the model has it. */
  readonly thinking: 'adaptive' | 'disabled' | undefined;
  /** @throws StompError PROVIDER_KEY_MISSING */
  readonly key: () => ApiKey | undefined;
}

export class AnthropicAdapter implements ProviderAdapter {
  readonly defaultModel: string;
  readonly #setup: AnthropicSetup;
  readonly #client: LazyClient<Anthropic>;

  constructor(setup: AnthropicSetup) {
    this.defaultModel = setup.defaultModel;
    this.#setup = setup;
    this.#client = new LazyClient(setup.key, (key) => connect(key, setup.baseUrl));
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
    const { signal, agentId } = request;
    const { tellsAgent, name, thinking } = this.#setup;
    const headers = tellsAgent ? { 'x-agent-id': agentId } : {};
    const stream = await client.messages.create(
      {
        ...messageParams(request, name),
        stream: true,
        ...(thinking === undefined ? {} : { thinking: { type: thinking } }),
      },
      { signal, headers },
    );
    const answer = new AnswerParts(sink);
    for await (const event of stream) answer.add(event);
    return answer.whole();
  }

  /** Nothing was left with the provider. */
  async close(): Promise<void> {
    return undefined;
  }
}

async function connect(apiKey: string, baseURL: string): Promise<Anthropic> {
  const load = () => import('@anthropic-ai/sdk');
  const { default: Client } = await loadClientLibrary('@anthropic-ai/sdk', load);
  return new Client({
    apiKey,
    // Nothing comes from the environment but what is named in the options.
    authToken: null,
    baseURL,
    maxRetries: 0,
    timeout: noTimeoutMs,
    logLevel: 'off',
  });
}

/** An answer put together from its events. */
class AnswerParts {
  readonly #sink: AnswerSink;
  readonly #blocks: ContentBlock[] = [];
  /** JSON texts of calls, by block. */
  readonly #inputs = new Map<number, string>();
  #stopReason: Anthropic.StopReason | null = null;
  #isComplete = false;
  #usage: ProviderUsage = { input: 0, cached: 0, output: 0 };

  constructor(sink: AnswerSink) {
    this.#sink = sink;
  }

  add(event: Anthropic.RawMessageStreamEvent): void {
    this.#sink.alive();
    switch (event.type) {
      case 'message_start':
        this.#usage = usageOf(event.message.usage);
        break;
      case 'content_block_start':
        this.#begin(event.index, event.content_block);
        break;
      case 'content_block_delta':
        this.#extend(event.index, event.delta);
        break;
      case 'message_delta':
        this.#stopReason = event.delta.stop_reason;
        this.#usage = { ...this.#usage, output: event.usage.output_tokens };
        break;
      case 'message_stop':
        this.#isComplete = true;
        break;
    }
  }

  /** @throws ProviderFailure when the end is missing, or was none of the model's */
  whole(): ProviderAnswer {
    if (!this.#isComplete) throw cutShort();
    const content: Content = this.#blocks.map((block, index) => this.#withInput(block, index));
    const calls = this.#blocks.flatMap((block, index): ToolCall[] =>
      block.type === 'tool_use'
        ? [{ id: block.id, name: block.name, arguments: this.#inputs.get(index) || '{}' }]
        : [],
    );
    return {
      text: content.map((block) => (block.type === 'text' ? block.text : '')).join(''),
      reasoning: content.map((block) => (block.type === 'thinking' ? block.thinking : '')).join(''),
      calls,
      finish: finishOf(this.#stopReason, calls.length > 0),
      usage: this.#usage,
      kept: content,
    };
  }

  #begin(index: number, block: Anthropic.ContentBlock): void {
    this.#blocks[index] = { ...block } as ContentBlock;
    if (block.type === 'text') this.#tellText(block.text);
    if (block.type === 'thinking') this.#tellThought(block.thinking);
  }

  #extend(index: number, delta: Anthropic.RawContentBlockDelta): void {
    const block = this.#blocks[index];
    if (!block) return;
    if (delta.type === 'input_json_delta') {
      this.#inputs.set(index, (this.#inputs.get(index) ?? '') + delta.partial_json);
    } else if (block.type === 'text' && delta.type === 'text_delta') {
      block.text += delta.text;
      this.#tellText(delta.text);
    } else if (block.type === 'thinking') {
      this.#think(block, delta);
    }
  }

  #think(block: Anthropic.ThinkingBlockParam, delta: Anthropic.RawContentBlockDelta): void {
    if (delta.type === 'signature_delta') block.signature = delta.signature;
    if (delta.type !== 'thinking_delta') return;
    block.thinking += delta.thinking;
    this.#tellThought(delta.thinking);
  }

  #withInput(block: ContentBlock, index: number): ContentBlock {
    if (block.type !== 'tool_use') return block;
    return { ...block, input: argumentsObject(this.#inputs.get(index) || '{}') };
  }

  #tellText(text: string): void {
    if (text !== '') this.#sink.text(text);
  }

  #tellThought(text: string): void {
    if (text !== '') this.#sink.reasoning(text);
  }
}

function usageOf(usage: Anthropic.Usage): ProviderUsage {
  const cached = usage.cache_read_input_tokens ?? 0;
  const written = usage.cache_creation_input_tokens ?? 0;
  return { input: usage.input_tokens + written + cached, cached, output: usage.output_tokens };
}

function finishOf(reason: Anthropic.StopReason | null, hasCalls: boolean): ProviderAnswer['finish'] {
  switch (reason) {
    case 'max_tokens':
    case 'model_context_window_exceeded':
      return 'length';
    case 'refusal':
      throw declined('the model refused');
    default:
      return hasCalls ? 'calls' : 'stop';
  }
}
