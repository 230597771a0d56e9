/** Answers in the shape of Anthropic's messages: whole, or as named events block by block. */
import { createHash } from 'node:crypto';
import type {
  GenerationChunk,
  GenerationResult,
  PromptUse,
  ToolCall,
  ToolCallChunk,
} from '../../engine/types.js';
import type { SseEvent } from '../sse.js';
import type { AnswerFormat } from '../turn.js';
import { anthropicErrorBody } from './error-body.js';
import type { ThinkingDisplay } from './prompt-fields.js';
import { openingUsage, stopReason, usageBody } from './usage.js';

export interface MessageFacts {
  /** `msg_…` */
  readonly id: string;
  readonly model: string;
  readonly requestId: string;
  readonly maxTokens: number;
  readonly thinking: ThinkingDisplay;
  readonly editsContext: boolean;
}

type EventData = { readonly type: string } & Readonly<Record<string, unknown>>;
type BlockType = 'thinking' | 'text' | 'tool_use';

/** Keeps the state of one answer's stream. */
export function messageFormat(facts: MessageFacts): AnswerFormat {
  const blocks = new BlockStream(facts.thinking);
  return {
    whole: ([result]) => wholeMessage(facts, result as GenerationResult),
    opening: (use) => [event({ type: 'message_start', message: emptyMessage(facts, use) })],
    piece: (chunk) => blocks.piece(chunk).map(event),
    ended: (result) => [...blocks.close(), messageDelta(facts, result)].map(event),
    closing: () => [event({ type: 'message_stop' })],
    failure: (error) => event({ ...anthropicErrorBody(error, facts.requestId) }),
    keepAlive: event(PING),
  };
}

const PING: EventData = { type: 'ping' };

function event(data: EventData): SseEvent {
  return { event: data.type, data };
}

function wholeMessage(facts: MessageFacts, result: GenerationResult): object {
  return {
    ...envelope(facts),
    content: [
      ...thinkingBlocks(facts.thinking, result.reasoning),
      ...(result.text === '' ? [] : [{ ...emptyText, text: result.text }]),
      ...result.toolCalls.map(toolUse),
    ],
    ...stopReason(result, facts.maxTokens),
    usage: usageBody(result.usage),
  };
}

function emptyMessage(facts: MessageFacts, use: PromptUse): object {
  return {
    ...envelope(facts),
    content: [],
    stop_reason: null,
    stop_sequence: null,
    usage: openingUsage(use),
  };
}

function envelope({ id, model, editsContext }: MessageFacts): object {
  return {
    id,
    type: 'message',
    role: 'assistant',
    model,
    container: null,
    diagnostics: null,
    stop_details: null,
    ...appliedEdits(editsContext),
  };
}

function appliedEdits(editsContext: boolean): object {
  return editsContext ? { context_management: { applied_edits: [] } } : {};
}

function messageDelta({ maxTokens, editsContext }: MessageFacts, result: GenerationResult): EventData {
  return {
    type: 'message_delta',
    delta: { container: null, stop_details: null, ...stopReason(result, maxTokens) },
    ...appliedEdits(editsContext),
    usage: usageBody(result.usage),
  };
}

const emptyText = { type: 'text', text: '', citations: null } as const;

function thinkingBlocks(display: ThinkingDisplay, reasoning: string): object[] {
  if (display === 'none' || reasoning === '') return [];
  const thinking = display === 'full' ? reasoning : '';
  return [{ type: 'thinking', thinking, signature: signature(reasoning) }];
}

function toolUse({ id, name, arguments: text }: ToolCall): object {
  return { type: 'tool_use', id, name, input: parsedInput(text), caller: { type: 'direct' } };
}

/** What was cut short or is no JSON goes under the name that Anthropic gives it, so that nothing is lost. */
function parsedInput(text: string): unknown {
  try {
    return JSON.parse(text === '' ? '{}' : text);
  } catch {
    return { INVALID_JSON: text };
  }
}

/** Clients send it back with the thought and want it there. Thoughts are the user's own: it is not checked. */
function signature(thought: string): string {
  return createHash('sha256').update(thought).digest('base64');
}

/** The blocks of one answer, one open at a time. */
class BlockStream {
  readonly #display: ThinkingDisplay;
  #index = -1;
  #open: BlockType | undefined;
  #call = -1;
  #thought = '';

  constructor(display: ThinkingDisplay) {
    this.#display = display;
  }

  piece(chunk: GenerationChunk): EventData[] {
    if (chunk.type === 'tool_call') return this.#toolCall(chunk);
    if (chunk.text === '') return [];
    return chunk.type === 'text' ? this.#text(chunk.text) : this.#thinking(chunk.text);
  }

  /** Ends the open block, if there is one. */
  close(): EventData[] {
    const type = this.#open;
    if (type === undefined) return [];
    this.#open = undefined;
    const signed = type === 'thinking' ? [this.#delta('signature_delta', signature(this.#thought))] : [];
    return [...signed, { type: 'content_block_stop', index: this.#index }];
  }

  #text(text: string): EventData[] {
    const begun = this.#open === 'text' ? [] : this.#begin('text', emptyText);
    return [...begun, this.#delta('text_delta', text)];
  }

  #thinking(text: string): EventData[] {
    if (this.#display === 'none') return [];
    const empty = { type: 'thinking', thinking: '', signature: '' };
    const begun = this.#open === 'thinking' ? [] : this.#begin('thinking', empty);
    if (begun.length > 0) this.#thought = '';
    this.#thought += text;
    return this.#display === 'omitted' ? begun : [...begun, this.#delta('thinking_delta', text)];
  }

  #toolCall({ index, id, name, arguments: text }: ToolCallChunk): EventData[] {
    const isNew = this.#open !== 'tool_use' || index !== this.#call;
    this.#call = index;
    const use = { type: 'tool_use', id, name, input: {}, caller: { type: 'direct' } };
    const begun = isNew ? [...this.#begin('tool_use', use), this.#delta('input_json_delta', '')] : [];
    return text === '' ? begun : [...begun, this.#delta('input_json_delta', text)];
  }

  #begin(type: BlockType, content_block: object): EventData[] {
    const closed = this.close();
    this.#open = type;
    this.#index++;
    const start = { type: 'content_block_start', index: this.#index, content_block };
    return [...closed, start, ...(this.#index === 0 ? [PING] : [])];
  }

  #delta(type: keyof typeof deltaFields, value: string): EventData {
    const delta = { type, [deltaFields[type]]: value };
    return { type: 'content_block_delta', index: this.#index, delta };
  }
}

const deltaFields = {
  text_delta: 'text',
  thinking_delta: 'thinking',
  signature_delta: 'signature',
  input_json_delta: 'partial_json',
} as const;
