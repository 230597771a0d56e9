/**
 * Follow-ups of a conversation that a transcript knows. Clients send it again in words of their own: arguments in
 * another spelling, thoughts left out, space trimmed. Where they mean what was said, it is quoted as it was
 * written, so that its tokens are those in the cache.
 */
import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { ChatMessage, ToolCall } from '../types.js';
import { messageText } from './message-text.js';
import type { TextTokenizer } from './tokenizer.js';
import { answerMarkers } from './tools/parser.js';
import type { Rendered, Transcript } from './transcript.js';

export interface Quoted {
  /** The prompt. */
  text: string;
  rendered: Rendered;
  /** The conversation, what was known of it in the words of the transcript. */
  messages: readonly ChatMessage[];
  /** Why the kept answer could not be quoted, where it was expected to be; else empty. */
  missReason: string;
}

export interface Rendering {
  render: (messages: readonly ChatMessage[]) => string;
  tokenizer: Pick<TextTokenizer, 'nextSeam'>;
}

/** The prompt of a conversation, with as much of a transcript in it as the conversation means. */
export function quotedPrompt(
  messages: readonly ChatMessage[],
  before: Pick<Transcript, 'messages' | 'text' | 'rendered'>,
  rendering: Rendering,
): Quoted {
  const kept = before.messages;
  const goesOn = kept.at(-1)?.role === 'assistant' && before.rendered !== undefined && begins(messages, kept);
  if (!goesOn) return asRendered(messages, rendering.render(messages), '');
  const known = [...kept.map((message, i) => withIds(message, messages[i])), ...messages.slice(kept.length)];
  const text = rendering.render(known);
  const changed = changedPast(text, before, kept);
  if (changed !== '') return asRendered(known, text, changed);
  const tail = tailAfter(known, kept.length - 1, text, rendering);
  if (tail === undefined) return asRendered(known, text, '');
  return { ...asRendered(known, text, ''), text: before.text + tail };
}

function asRendered(messages: readonly ChatMessage[], text: string, missReason: string): Quoted {
  return { text, rendered: renderedAs(text), messages, missReason };
}

function renderedAs(text: string): Rendered {
  return { chars: text.length, hash: createHash('sha256').update(text).digest('hex') };
}

/** Why the template does not go on from what it wrote before; empty when it does. */
function changedPast(
  text: string,
  before: Pick<Transcript, 'rendered'>,
  kept: readonly ChatMessage[],
): string {
  const chars = before.rendered?.chars ?? 0;
  const thought = kept.some((message) => (message.reasoning ?? '') !== '');
  const same = renderedAs(text.slice(0, chars)).hash === before.rendered?.hash;
  const reasoning = kept.at(-1)?.reasoning?.trim() ?? '';
  if (same && text.includes(reasoning, chars)) return '';
  return thought
    ? 'the chat template leaves out earlier thoughts'
    : 'the chat template rewrites earlier messages';
}

/**
 * What the template writes behind the answer: what stays the same when the answer is another one, from the first
 * marker on that ends it.
 */
function tailAfter(
  messages: readonly ChatMessage[],
  index: number,
  text: string,
  { render, tokenizer }: Rendering,
): string | undefined {
  const answer = messages[index];
  if (!answer) return undefined;
  const other = render(messages.map((message, i) => (i === index ? altered(answer) : message)));
  const same = commonSuffixLength(text, other);
  const from = tokenizer.nextSeam(text, text.length - same, answerMarkers);
  return from === undefined ? undefined : text.slice(from);
}

function altered(message: ChatMessage): ChatMessage {
  const calls = message.toolCalls ?? [];
  const last = calls.at(-1);
  if (last) return { ...message, toolCalls: [...calls.slice(0, -1), { ...last, arguments: '{"~": "~"}' }] };
  const content = messageText(message).trimEnd();
  return { ...message, content: `${content}${content.endsWith('~') ? '!' : '~'}` };
}

/** Whether a conversation begins with what another one means. */
function begins(messages: readonly ChatMessage[], kept: readonly ChatMessage[]): boolean {
  return (
    messages.length > kept.length &&
    kept.every((message, i) => {
      const other = messages[i];
      return other !== undefined && meansTheSame(other, message);
    })
  );
}

function meansTheSame(a: ChatMessage, b: ChatMessage): boolean {
  if (a.role !== b.role) return false;
  if (a.role !== 'assistant') return isDeepStrictEqual(plain(a), plain(b));
  const calls = b.toolCalls ?? [];
  const thoughts = a.reasoning?.trim() ?? '';
  return (
    messageText(a).trim() === messageText(b).trim() &&
    (thoughts === '' || thoughts === b.reasoning?.trim()) &&
    a.toolCalls?.length === b.toolCalls?.length &&
    calls.every((call, i) => sameCall(call, a.toolCalls?.[i]))
  );
}

function plain(message: ChatMessage): ChatMessage {
  return { ...message, content: messageText(message) };
}

function sameCall(a: ToolCall, b: ToolCall | undefined): boolean {
  return a.name === b?.name && isDeepStrictEqual(argumentsOf(a), argumentsOf(b));
}

/** Arguments that are no JSON, as when they were cut off, are taken as they are. */
function argumentsOf(call: ToolCall): unknown {
  try {
    return JSON.parse(call.arguments.trim() === '' ? '{}' : call.arguments);
  } catch {
    return call.arguments;
  }
}

/** Results refer to calls by the names that the client has for them. */
function withIds(kept: ChatMessage, sent: ChatMessage | undefined): ChatMessage {
  if (!kept.toolCalls) return kept;
  const toolCalls = kept.toolCalls.map((call, i) => ({ ...call, id: sent?.toolCalls?.[i]?.id ?? call.id }));
  return { ...kept, toolCalls };
}

function commonSuffixLength(a: string, b: string): number {
  const most = Math.min(a.length, b.length);
  let length = 0;
  while (length < most && a.charCodeAt(a.length - 1 - length) === b.charCodeAt(b.length - 1 - length))
    length++;
  return length;
}
