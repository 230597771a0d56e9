/** The messages of OpenAI's chat completions. Text only: other parts are refused by name. Pure. */
import type { ChatMessage, TextPart, ToolCall } from '../../engine/types.js';
import { Fields } from '../fields.js';
import { withoutVolatileLines } from '../volatile.js';

/** More than any context holds, few enough to check at once. */
const MAX_MESSAGES = 10_000;
const MAX_CALLS = 1024;

const ROLES = ['system', 'developer', 'user', 'assistant', 'tool', 'function'] as const;

/** What only an assistant's message carries; clients send it with others as null. */
const ASSISTANT_ONLY = {
  tool_calls: isEmptyList,
  reasoning_content: (value: unknown) => value === '',
};

const UNSUPPORTED = {
  function_call: never,
  audio: never,
  refusal: never,
  annotations: isEmptyList,
};

/** @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD */
export function readMessages(fields: Fields, field = 'messages'): ChatMessage[] {
  const list = fields.array(field);
  if (list === undefined) throw fields.missing(field, 'a list of messages');
  if (list.length === 0 || list.length > MAX_MESSAGES) {
    throw fields.invalid(field, list.length, `a list of 1 to ${MAX_MESSAGES} messages`);
  }
  return list.map((entry, index) => readMessage(new Fields(entry, `${field}[${index}]`)));
}

function readMessage(fields: Fields): ChatMessage {
  const role = fields.choice('role', ROLES);
  if (role === undefined) throw fields.missing('role', 'one of system, developer, user, assistant, tool');
  if (role === 'function') throw fields.unsupported('role', ' with the value "function"');
  const message = role === 'assistant' ? readAnswer(fields) : readOther(fields, role);
  const name = fields.text('name');
  if (name !== undefined) message.name = name;
  fields.refuse(UNSUPPORTED);
  fields.end();
  return message;
}

function readOther(fields: Fields, role: 'system' | 'developer' | 'user' | 'tool'): ChatMessage {
  const content = readContent(fields);
  const message: ChatMessage =
    role === 'system' || role === 'developer'
      ? { role: 'system', content: stableContent(content) }
      : { role, content };
  const toolCallId = fields.text('tool_call_id');
  if (role === 'tool') {
    if (toolCallId === undefined) throw fields.missing('tool_call_id', 'the id of the call that it answers');
    message.toolCallId = toolCallId;
  } else if (toolCallId !== undefined) {
    throw fields.invalid('tool_call_id', toolCallId, 'left out unless the role is "tool"');
  }
  fields.refuse(ASSISTANT_ONLY);
  return message;
}

/** An answer of the model, as it was sent or as a client has shortened it. */
function readAnswer(fields: Fields): ChatMessage {
  const toolCalls = readCalls(fields);
  const reasoning = fields.text('reasoning_content');
  // What the official client makes of the content; the content itself is here too.
  fields.raw('parsed');
  const mayBeSilent = toolCalls.length > 0 || reasoning !== undefined;
  const silent = mayBeSilent && fields.raw('content') === undefined;
  const message: ChatMessage = { role: 'assistant', content: silent ? '' : readContent(fields) };
  if (toolCalls.length > 0) message.toolCalls = toolCalls;
  if (reasoning !== undefined && reasoning !== '') message.reasoning = reasoning;
  return message;
}

function readCalls(fields: Fields): ToolCall[] {
  const list = fields.array('tool_calls') ?? [];
  if (list.length > MAX_CALLS) throw fields.invalid('tool_calls', list.length, `at most ${MAX_CALLS} calls`);
  return list.map((entry, index) => readCall(new Fields(entry, `${fields.name('tool_calls')}[${index}]`)));
}

function readCall(fields: Fields): ToolCall {
  const id = fields.text('id');
  if (id === undefined) throw fields.missing('id', 'the id of the call');
  const type = fields.text('type') ?? 'function';
  if (type !== 'function') {
    throw fields.unsupported('type', ` with the value ${JSON.stringify(type.slice(0, 40))}`);
  }
  // Clients that put a stream together leave it in.
  fields.number('index', { min: 0, max: MAX_CALLS, integer: true });
  const raw = fields.raw('function');
  if (raw === undefined) throw fields.missing('function', 'an object with name and arguments');
  fields.end();
  const inner = new Fields(raw, fields.name('function'));
  const name = inner.text('name');
  if (name === undefined) throw inner.missing('name', 'the name of a tool');
  const text = inner.text('arguments');
  if (text === undefined) throw inner.missing('arguments', 'JSON as a text');
  inner.raw('parsed_arguments');
  inner.end();
  return { id, name, arguments: text };
}

function readContent(fields: Fields): string | TextPart[] {
  const content = fields.raw('content');
  if (content === undefined) throw fields.missing('content', 'a text or a list of text parts');
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) throw fields.invalid('content', content, 'a text or a list of text parts');
  return content.map((part: unknown, index) =>
    readPart(new Fields(part, `${fields.name('content')}[${index}]`)),
  );
}

/** Bookkeeping of clients that gateways pass on would end the cached prefix where it stands. */
function stableContent(content: string | TextPart[]): string | TextPart[] {
  if (typeof content === 'string') return withoutVolatileLines(content);
  return content.map(({ type, text }) => ({ type, text: withoutVolatileLines(text) }));
}

function readPart(fields: Fields): TextPart {
  const type = fields.text('type');
  if (type === undefined) throw fields.missing('type', '"text"');
  if (type !== 'text') {
    throw fields.unsupported('type', ` with the value ${JSON.stringify(type.slice(0, 40))}`);
  }
  const text = fields.text('text');
  if (text === undefined) throw fields.missing('text', 'a text');
  readBreakpoint(fields);
  fields.end();
  return { type: 'text', text };
}

/** Says where a cache may end. Here it may end after every block of tokens, so there is nothing to do. */
function readBreakpoint(fields: Fields): void {
  const raw = fields.raw('prompt_cache_breakpoint');
  if (raw === undefined) return;
  const inner = new Fields(raw, fields.name('prompt_cache_breakpoint'));
  inner.choice('mode', ['explicit']);
  inner.end();
}

function isEmptyList(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}

function never(): boolean {
  return false;
}
