/**
 * `system` and `messages` of Anthropic's API as one conversation: results of tools become messages of their
 * own, and turns of one speaker that follow each other become one, as templates want speakers to alternate.
 * What clients keep account of in the prompt is left out. Pure.
 */
import type { ChatMessage } from '../../engine/types.js';
import { StompError } from '../../errors.js';
import { Fields } from '../fields.js';
import { isVolatileBlock, withoutVolatileLines } from '../volatile.js';
import { type Block, type Role, readContent, readTexts } from './content-blocks.js';

/** As Anthropic has it. */
const MAX_MESSAGES = 100_000;

/** @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD */
export function readConversation(fields: Fields): readonly ChatMessage[] {
  const list = fields.array('messages');
  if (list === undefined) throw fields.missing('messages', 'a list of messages');
  if (list.length === 0 || list.length > MAX_MESSAGES) {
    throw fields.invalid('messages', list.length, `a list of 1 to ${MAX_MESSAGES} messages`);
  }
  const conversation = new Conversation();
  if (fields.raw('system') !== undefined) conversation.system(readTexts(fields, 'system'));
  list.forEach((entry, index) => {
    const isLast = index === list.length - 1;
    readMessage(new Fields(entry, `messages[${index}]`), conversation, isLast);
  });
  if (conversation.messages.every(({ role }) => role === 'system')) {
    throw fields.invalid('messages', list, 'a list in which the user says something');
  }
  return conversation.messages;
}

function readMessage(fields: Fields, conversation: Conversation, isLast: boolean): void {
  const role = fields.choice('role', ['user', 'assistant', 'system']);
  if (role === undefined) throw fields.missing('role', 'one of user, assistant, system');
  if (role === 'assistant' && isLast) {
    throw fields.unsupported('role', ' with the value "assistant" in the last message (a prefilled answer)');
  }
  const blocks = readContent(fields, 'content', role);
  if (role === 'user' && blocks.length === 0) {
    throw fields.invalid('content', [], 'a text or a list of one content block or more');
  }
  fields.end();
  conversation.add(role, blocks);
}

/** One whose content is one text. */
type Message = ChatMessage & { readonly content: string };

class Conversation {
  readonly messages: Message[] = [];
  /** Names of the calls so far, by their ids. */
  readonly #calls = new Map<string, string>();

  system(texts: readonly string[]): void {
    const kept = texts.map((text) => [text, withoutVolatileLines(text)] as const);
    const content = kept
      .filter(([text, stable]) => stable !== '' || text === '')
      .map(([, stable]) => stable)
      .join('\n');
    if (content !== '') this.#append({ role: 'system', content });
  }

  add(role: Role, blocks: readonly Block[]): void {
    if (role === 'assistant') this.#assistant(blocks);
    else if (role === 'user') this.#user(blocks);
    else this.#instruct(blocks.flatMap((block) => (block.type === 'text' ? [block.text] : [])));
  }

  /**
   * Before anything is said it belongs to the system prompt. Later on few templates take a system message,
   * and some drop it: it is put into what was said last, marked as clients mark such reminders. Behind the
   * result of a tool it stays with that: as words of the user it would begin a new turn, for which templates
   * drop the thoughts that led to the call.
   */
  #instruct(texts: readonly string[]): void {
    const isStart = this.messages.every(({ role }) => role === 'system');
    if (isStart) {
      this.system(texts);
      return;
    }
    const content = texts.map(withoutVolatileLines).join('\n');
    if (content.trim() === '' || isVolatileBlock(content)) return;
    const reminder = `<system-reminder>\n${content}\n</system-reminder>`;
    const last = this.messages.at(-1);
    if (last?.role === 'tool') this.#replaceLast({ ...last, content: `${last.content}\n${reminder}` });
    else this.#append({ role: 'user', content: reminder });
  }

  #user(blocks: readonly Block[]): void {
    for (const block of blocks) {
      if (block.type === 'text' && !isVolatileBlock(block.text)) {
        this.#append({ role: 'user', content: block.text });
      }
      if (block.type === 'tool_result') this.#answer(block);
    }
  }

  #answer({ callId, text, field }: Block & { type: 'tool_result' }): void {
    const name = this.#calls.get(callId);
    if (name === undefined) throw unknownCall(field, callId);
    this.messages.push({ role: 'tool', content: text, name, toolCallId: callId });
  }

  #assistant(blocks: readonly Block[]): void {
    const texts = blocks.flatMap((block) => (block.type === 'text' ? [block.text] : []));
    const calls = blocks.flatMap((block) => (block.type === 'tool_use' ? [block.call] : []));
    const thoughts = blocks
      .flatMap((block) => (block.type === 'thinking' ? [block.thinking] : []))
      .filter((thought) => thought !== '');
    for (const { id, name } of calls) this.#calls.set(id, name);
    this.#append({
      role: 'assistant',
      content: texts.join(''),
      ...(thoughts.length > 0 ? { reasoning: thoughts.join('\n') } : {}),
      ...(calls.length > 0 ? { toolCalls: calls } : {}),
    });
  }

  #append(message: Message): void {
    const last = this.messages.at(-1);
    if (last?.role === message.role) this.#replaceLast(joined(last, message));
    else this.messages.push(message);
  }

  #replaceLast(message: Message): void {
    this.messages[this.messages.length - 1] = message;
  }
}

function unknownCall(field: string, id: string): StompError {
  const value = id.slice(0, 100);
  return new StompError(
    'INVALID_REQUEST',
    `"${field}" must be the id of a tool_use block before it, not ${JSON.stringify(value)}.`,
    { fields: { field, value, allowed: 'the id of a tool_use block before it' } },
  );
}

function joined(first: Message, second: Message): Message {
  const texts = [first.content, second.content].filter((text) => text !== '');
  const toolCalls = [...(first.toolCalls ?? []), ...(second.toolCalls ?? [])];
  const thoughts = [first.reasoning, second.reasoning].filter((thought) => thought !== undefined);
  return {
    role: second.role,
    content: texts.join('\n'),
    ...(thoughts.length > 0 ? { reasoning: thoughts.join('\n') } : {}),
    ...(toolCalls.length > 0 ? { toolCalls } : {}),
  };
}
