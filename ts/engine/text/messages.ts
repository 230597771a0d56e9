/** Checks of conversations that callers pass in. */
import { checkFields, refuse } from '../../arguments.js';
import type { ChatMessage, ChatRole, TextPart } from '../types.js';

const roles: readonly ChatRole[] = ['system', 'user', 'assistant', 'tool'];

/** More are no conversation. */
const maxMessages = 100_000;

/**
 * @returns a copy, so that later changes by the caller do no harm.
 * @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD
 */
export function checkMessages(value: unknown): ChatMessage[] {
  if (!Array.isArray(value) || value.length === 0) refuse('messages', value, 'a non-empty array');
  if (value.length > maxMessages) refuse('messages', value, `an array of at most ${maxMessages}`);
  return value.map((message, i) => checkMessage(`messages[${i}]`, message));
}

function checkMessage(field: string, value: unknown): ChatMessage {
  checkFields(field, value, ['role', 'content', 'name']);
  const { role, content, name } = value as Record<string, unknown>;
  const known = roles.find((one) => one === role);
  if (!known) refuse(`${field}.role`, role, `one of ${roles.join(', ')}`);
  if (name !== undefined && typeof name !== 'string') refuse(`${field}.name`, name, 'a text');
  const message: ChatMessage = { role: known, content: checkContent(`${field}.content`, content) };
  if (name !== undefined) message.name = name;
  return message;
}

function checkContent(field: string, content: unknown): string | TextPart[] {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content) || content.length === 0)
    refuse(field, content, 'a text or an array of text parts');
  return content.map((part: unknown, i) => {
    checkFields(`${field}[${i}]`, part, ['type', 'text']);
    const { type, text } = part as Record<string, unknown>;
    if (type !== 'text') refuse(`${field}[${i}].type`, type, "'text'");
    if (typeof text !== 'string') refuse(`${field}[${i}].text`, text, 'a text');
    return { type, text };
  });
}
