/** The messages of OpenAI's chat completions. Text only: other parts are refused by name. Pure. */
import type { ChatMessage, ChatRole, TextPart } from '../../engine/types.js';
import { Fields } from '../fields.js';

/** More than any context holds, few enough to check at once. */
const MAX_MESSAGES = 10_000;

const ROLES = ['system', 'developer', 'user', 'assistant', 'tool', 'function'] as const;

/** What an assistant message may carry beside its text; clients send them back as null. */
const UNSUPPORTED = {
  tool_calls: isEmptyList,
  tool_call_id: never,
  function_call: never,
  audio: never,
  refusal: never,
  annotations: isEmptyList,
  reasoning_content: (value: unknown) => value === '',
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
  if (role === undefined) throw fields.missing('role', 'one of system, developer, user, assistant');
  if (role === 'tool' || role === 'function') throw fields.unsupported('role', ` with the value "${role}"`);
  fields.refuse(UNSUPPORTED);
  const message: ChatMessage = { role: chatRole(role), content: readContent(fields) };
  const name = fields.text('name');
  if (name !== undefined) message.name = name;
  fields.end();
  return message;
}

function chatRole(role: 'system' | 'developer' | 'user' | 'assistant'): ChatRole {
  return role === 'developer' ? 'system' : role;
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

function readPart(fields: Fields): TextPart {
  const type = fields.text('type');
  if (type === undefined) throw fields.missing('type', '"text"');
  if (type !== 'text')
    throw fields.unsupported('type', ` with the value ${JSON.stringify(type.slice(0, 40))}`);
  const text = fields.text('text');
  if (text === undefined) throw fields.missing('text', 'a text');
  fields.end();
  return { type: 'text', text };
}

function isEmptyList(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}

function never(): boolean {
  return false;
}
