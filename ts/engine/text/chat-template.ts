/**
 * A conversation as the text that a model was trained on, by the model's own template. Main thread only.
 * Templates come with models and may fail; rendering has no side effects.
 */
import type { Template } from '@huggingface/jinja';
import { StompError } from '../../errors.js';
import type { ChatMessage, ToolCall, ToolDefinition } from '../types.js';
import { messageText } from './message-text.js';
import { type TemplateTraits, templateTraits } from './template-traits.js';
import { shortCallId } from './tools/call-id.js';
import {
  describedTool,
  templateTool,
  toldFormats,
  withCallsInText,
  withOneCallEach,
  withResultsInText,
  withSystemAsUser,
  withToolPrompt,
} from './tools/tool-prompt.js';

/** Makes a template of its source; may throw. */
export type CompileTemplate = (source: string) => Pick<Template, 'render'>;

/** Markers that templates print, by the names they know them under. */
export type TemplateMarkers = Record<string, string>;

export interface RenderOptions {
  /** Ends where the assistant is to speak. @default true */
  addGenerationPrompt?: boolean | undefined;
  tools?: readonly ToolDefinition[] | undefined;
  /** Asks a model that can do both to think or not to. @default as the template has it */
  thinking?: boolean | undefined;
}

/** Longer ones are not templates. */
const maxTemplateChars = 1 << 20;

export class ChatTemplate {
  readonly #source: string | undefined;
  readonly #compile: CompileTemplate;
  readonly #markers: TemplateMarkers;
  readonly #hasToken: (marker: string) => boolean;
  #template: Pick<Template, 'render'> | undefined;
  #traits: TemplateTraits | undefined;

  /**
   * @param source undefined for a model that has none; `render` then says so.
   * @param hasToken whether the vocabulary has a marker as one token.
   */
  constructor(
    source: string | undefined,
    markers: TemplateMarkers,
    compile: CompileTemplate,
    hasToken: (marker: string) => boolean = () => false,
  ) {
    this.#source = source;
    this.#markers = markers;
    this.#compile = compile;
    this.#hasToken = hasToken;
  }

  /** @throws StompError as `render` does, where there is no template. */
  get traits(): TemplateTraits {
    const template = this.#compiled();
    const probe = (context: Record<string, unknown>) =>
      template.render({ ...this.#markers, add_generation_prompt: true, ...context });
    this.#traits ??= templateTraits(this.#source ?? '', probe, this.#hasToken);
    return this.#traits;
  }

  /**
   * @returns the prompt.
   * @throws StompError INVALID_REQUEST when the model has no template or the template refuses;
   *   MODEL_INVALID when it is no template.
   */
  render(messages: readonly ChatMessage[], options: RenderOptions = {}): string {
    const template = this.#compiled();
    const { tools = [], thinking, addGenerationPrompt } = options;
    const attempt = (shows: boolean) =>
      rendered(template, {
        ...this.#markers,
        ...this.#conversation(messages, tools, shows),
        ...(thinking === undefined ? {} : { enable_thinking: thinking }),
        add_generation_prompt: addGenerationPrompt ?? true,
      });
    try {
      return attempt(true);
    } catch (cause) {
      // Some fail at schemas: these can be told in another way.
      const told = tools.length > 0 && toldFormats.has(this.traits.toolFormat);
      const text = told ? attemptOrNone(() => attempt(false)) : undefined;
      if (text !== undefined) return text;
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new StompError('INVALID_REQUEST', `The model's chat template refuses these messages: ${reason}`, {
        cause,
        fields: { field: 'messages' },
      });
    }
  }

  /** @param shows tools are left to the template where it shows them. */
  #conversation(
    messages: readonly ChatMessage[],
    tools: readonly ToolDefinition[],
    shows: boolean,
  ): Record<string, unknown> {
    const plain = tools.length === 0 && !messages.some(mentionsTools);
    if (plain) return { messages: this.#heard(messages).map((message) => basicMessage(message)) };
    const { traits } = this;
    const told = tools.length > 0 && !(shows && traits.showsTools);
    const single = traits.parallelCalls ? messages : withOneCallEach(messages);
    const withTools = told ? withToolPrompt(single, tools, traits.toolFormat) : single;
    const withResults = traits.showsResults ? withTools : withResultsInText(withTools);
    return {
      messages: templateMessages(this.#heard(withResults), traits),
      ...(tools.length > 0 && !told ? { tools: tools.map((tool) => shownTool(tool, traits)) } : {}),
    };
  }

  /** The conversation such that the template shows what the system says, also where it has no place for it. */
  #heard(messages: readonly ChatMessage[]): readonly ChatMessage[] {
    const spoken = messages[0]?.role === 'system' && messages.length > 1;
    return spoken && !this.traits.showsSystem ? withSystemAsUser(messages) : messages;
  }

  #compiled(): Pick<Template, 'render'> {
    if (this.#template) return this.#template;
    if (this.#source === undefined) {
      throw new StompError(
        'INVALID_REQUEST',
        'This model has no chat template. Use generate() with a prompt of your own, or an instruct model.',
        { fields: { field: 'messages' } },
      );
    }
    try {
      if (this.#source.length > maxTemplateChars)
        throw new Error(`it has over ${maxTemplateChars} characters`);
      this.#template = this.#compile(this.#source);
      return this.#template;
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new StompError('MODEL_INVALID', `The model's chat template cannot be read: ${reason}`, { cause });
    }
  }
}

/**
 * For Python, what is missing is an empty text in some places and an empty list in others, and templates count on it.
 * Where one fails it is tried with these in place.
 */
function rendered(template: Pick<Template, 'render'>, context: Record<string, unknown>): string {
  try {
    return template.render(context);
  } catch (cause) {
    const tools = (context['tools'] ?? []) as readonly Record<string, unknown>[];
    const text = attemptOrNone(() => template.render({ ...context, tools: tools.map(describedTool) }));
    if (text === undefined) throw cause; // about what was asked for
    return text;
  }
}

function attemptOrNone(attempt: () => string): string | undefined {
  try {
    return attempt();
  } catch {
    return undefined; // why the first attempt failed says more
  }
}

function mentionsTools(message: ChatMessage): boolean {
  return message.role === 'tool' || (message.toolCalls?.length ?? 0) > 0;
}

/** Harmony's template joins the description to other text, so there must be one. */
function shownTool(tool: ToolDefinition, traits: TemplateTraits): Record<string, unknown> {
  return templateTool(traits.harmony ? { ...tool, description: tool.description ?? '' } : tool);
}

interface KnownCall {
  readonly name: string;
  /** Its id, as the template has it. */
  readonly id: string;
}

function templateMessages(
  messages: readonly ChatMessage[],
  traits: TemplateTraits,
): Record<string, unknown>[] {
  // Some clients give an id again: a result belongs to the last call before it.
  const calls = new Map<string, KnownCall>();
  return messages.map((message) => {
    for (const [i, { id, name }] of (message.toolCalls ?? []).entries()) {
      calls.set(id, { name, id: shownId(id, name, i, traits) });
    }
    return templateMessage(message, traits, calls);
  });
}

function shownId(id: string, name: string, index: number, { toolFormat }: TemplateTraits): string {
  if (toolFormat === 'kimi') return `functions.${name}:${index}`;
  return toolFormat === 'mistral' ? shortCallId(id) : id;
}

function basicMessage(message: ChatMessage): Record<string, unknown> {
  const { role, name, reasoning } = message;
  return {
    role,
    content: messageText(message),
    ...(name === undefined ? {} : { name }),
    ...(reasoning === undefined ? {} : { reasoning_content: reasoning }),
  };
}

function templateMessage(
  message: ChatMessage,
  traits: TemplateTraits,
  calls: ReadonlyMap<string, KnownCall>,
): Record<string, unknown> {
  if (message.role === 'tool') return resultMessage(message, traits, calls);
  if (traits.calls === 'none') return basicMessage(withCallsInText(message, traits.toolFormat));
  const { toolCalls = [] } = message;
  const basic = basicMessage(message);
  if (toolCalls.length === 0) return basic;
  const tool_calls = toolCalls.map((call, i) => templateCall(call, i, traits));
  const nothing = traits.nullText && basic['content'] === '' ? { content: null } : {};
  return { ...basic, ...nothing, ...(traits.harmony ? harmonyThoughts(message) : {}), tool_calls };
}

function resultMessage(
  message: ChatMessage,
  traits: TemplateTraits,
  calls: ReadonlyMap<string, KnownCall>,
): Record<string, unknown> {
  const { toolCallId } = message;
  const call = toolCallId === undefined ? undefined : calls.get(toolCallId);
  const name = message.name ?? call?.name;
  const id =
    call?.id ?? (toolCallId === undefined ? undefined : shownId(toolCallId, name ?? 'unknown', 0, traits));
  return {
    role: 'tool',
    content: messageText(message),
    ...(name === undefined ? {} : { name }),
    ...(id === undefined ? {} : { tool_call_id: id }),
  };
}

function templateCall(call: ToolCall, index: number, traits: TemplateTraits): Record<string, unknown> {
  const args = traits.calls === 'object' ? (objectOf(call.arguments) ?? call.arguments) : call.arguments;
  return {
    id: shownId(call.id, call.name, index, traits),
    type: 'function',
    function: { name: call.name, arguments: args },
  };
}

/** Undefined for what is no JSON object, such as arguments that were cut off. */
function objectOf(json: string): unknown {
  if (json.trim() === '') return {};
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'object' ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Harmony's template takes what was thought or said before a call as one text. */
function harmonyThoughts(message: ChatMessage): Record<string, unknown> {
  const parts = [message.reasoning ?? '', messageText(message)].filter((part) => part !== '');
  return { content: '', ...(parts.length > 0 ? { thinking: parts.join('\n') } : {}) };
}
