/** Checks of conversations that callers pass in. */
import { checkFields, refuse } from '../../arguments.js';
import type { ChatMessage, ChatRole, TextPart, ToolCall } from '../types.js';

/** What a function may be called. */
export const toolNameRule = /^[A-Za-z0-9_.-]{1,128}$/;
export const toolNames = '1 to 128 of the characters A-Z a-z 0-9 _ . -';

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

const known = ['role', 'content', 'name', 'toolCalls', 'reasoning', 'toolCallId'] as const;

/** More calls are no message. */
const maxCalls = 512;

function checkMessage(field: string, value: unknown): ChatMessage {
  checkFields(field, value, known);
  const { role, content, ...rest } = value as Record<string, unknown>;
  const speaker = roles.find((one) => one === role);
  if (!speaker) refuse(`${field}.role`, role, `one of ${roles.join(', ')}`);
  const message: ChatMessage = { role: speaker, content: checkContent(`${field}.content`, content) };
  const textOf = (key: string, only?: ChatRole): string | undefined =>
    checkPart(field, rest, key, speaker, only);
  const name = textOf('name');
  const reasoning = textOf('reasoning', 'assistant');
  const toolCallId = textOf('toolCallId', 'tool');
  const toolCalls = checkToolCalls(`${field}.toolCalls`, rest['toolCalls'], speaker);
  return {
    ...message,
    ...(name === undefined ? {} : { name }),
    ...(reasoning === undefined ? {} : { reasoning }),
    ...(toolCalls === undefined ? {} : { toolCalls }),
    ...(toolCallId === undefined ? {} : { toolCallId }),
  };
}

function checkPart(
  field: string,
  values: Record<string, unknown>,
  key: string,
  role: ChatRole,
  only: ChatRole | undefined,
): string | undefined {
  const value = values[key];
  if (value === undefined) return undefined;
  if (only !== undefined && role !== only)
    refuse(`${field}.${key}`, value, `left out of a message of ${role}`);
  return typeof value === 'string' ? value : refuse(`${field}.${key}`, value, 'a text');
}

function checkToolCalls(field: string, value: unknown, role: ChatRole): ToolCall[] | undefined {
  if (value === undefined) return undefined;
  if (role !== 'assistant') refuse(field, value, `left out of a message of ${role}`);
  if (!Array.isArray(value) || value.length > maxCalls)
    refuse(field, value, `an array of at most ${maxCalls}`);
  return value.length === 0 ? undefined : value.map((call, i) => checkToolCall(`${field}[${i}]`, call));
}

function checkToolCall(field: string, value: unknown): ToolCall {
  checkFields(field, value, ['id', 'name', 'arguments']);
  const { id, name, arguments: args } = value as Record<string, unknown>;
  if (typeof id !== 'string' || id === '') refuse(`${field}.id`, id, 'a text of at least one character');
  if (typeof name !== 'string' || !toolNameRule.test(name)) refuse(`${field}.name`, name, toolNames);
  if (typeof args !== 'string') refuse(`${field}.arguments`, args, 'JSON as a text');
  return { id, name, arguments: args };
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
