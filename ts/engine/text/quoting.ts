/**
 * Follow-ups of a conversation that a transcript knows. Clients send it again in words of their own: arguments in
 * another spelling, defaults written out, thoughts left out, space trimmed. As far as they mean what was said, it
 * is quoted as it was written, so that its tokens are those in the cache. Where they change an answer, or leave
 * one that was interrupted, the answers before it are still quoted.
 */
import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { ChatMessage, ToolCall, ToolDefinition } from '../types.js';
import { messageText } from './message-text.js';
import type { TextTokenizer } from './tokenizer.js';
import { answerMarkers } from './tools/parser.js';
import type { KeptAnswer, Rendered, Transcript } from './transcript.js';

export interface Quoted {
  /** The prompt. */
  text: string;
  rendered: Rendered;
  /** Answers of the transcript that the prompt quotes. */
  answers: readonly KeptAnswer[];
  /** The conversation, what was known of it in the words of the transcript. */
  messages: readonly ChatMessage[];
  /** Why the kept answer could not be quoted, where it was expected to be; else empty. */
  missReason: string;
}

export interface Rendering {
  render: (messages: readonly ChatMessage[]) => string;
  tokenizer: Pick<TextTokenizer, 'nextSeam'>;
  /** Their schemas say what an argument is that a call leaves out. */
  tools: readonly ToolDefinition[];
}

type Known = Pick<Transcript, 'messages' | 'text' | 'answers'>;

/** The prompt of a conversation, with as much of a transcript in it as the conversation means. */
export function quotedPrompt(messages: readonly ChatMessage[], before: Known, rendering: Rendering): Quoted {
  const kept = upToLastMeant(messages, before, rendering.tools);
  const last = kept.answers.at(-1);
  if (last === undefined) return asRendered(messages, rendering.render(messages), '');
  const said = kept.messages.map((message, i) => withIds(message, messages[i]));
  const known = [...said, ...messages.slice(said.length)];
  const text = rendering.render(known);
  const changed = changedPast(text, last.rendered, said);
  if (changed !== '') return asRendered(known, text, changed);
  const tail = tailAfter(known, said.length - 1, text, rendering);
  if (tail === undefined) return asRendered(known, text, '');
  return { ...asRendered(known, text, ''), text: kept.text + tail, answers: kept.answers };
}

/** What is known up to the last answer that a conversation still means and goes on from; may be nothing. */
function upToLastMeant(
  messages: readonly ChatMessage[],
  { messages: known, text, answers }: Known,
  tools: readonly ToolDefinition[],
): Known {
  const meant = sameFor(messages, known, tools);
  const kept = answers.filter((answer) => answer.messages <= meant && answer.messages < messages.length);
  const { messages: count, chars } = kept.at(-1) ?? { messages: 0, chars: 0 };
  return { messages: known.slice(0, count), text: text.slice(0, chars), answers: kept };
}

function asRendered(messages: readonly ChatMessage[], text: string, missReason: string): Quoted {
  return { text, rendered: renderedAs(text), answers: [], messages, missReason };
}

function renderedAs(text: string): Rendered {
  return { chars: text.length, hash: createHash('sha256').update(text).digest('hex') };
}

/** Why the template does not go on from what it wrote before; empty when it does. */
function changedPast(text: string, before: Rendered, kept: readonly ChatMessage[]): string {
  const thought = kept.some((message) => (message.reasoning ?? '') !== '');
  const same = renderedAs(text.slice(0, before.chars)).hash === before.hash;
  const reasoning = kept.at(-1)?.reasoning?.trim() ?? '';
  if (same && text.includes(reasoning, before.chars)) return '';
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

/** For how many messages two conversations mean the same. */
function sameFor(
  messages: readonly ChatMessage[],
  kept: readonly ChatMessage[],
  tools: readonly ToolDefinition[],
): number {
  const parts = kept.findIndex((message, i) => {
    const other = messages[i];
    return other === undefined || !meansTheSame(other, message, tools);
  });
  return parts < 0 ? kept.length : parts;
}

function meansTheSame(a: ChatMessage, b: ChatMessage, tools: readonly ToolDefinition[]): boolean {
  if (a.role !== b.role) return false;
  if (a.role !== 'assistant') return isDeepStrictEqual(plain(a), plain(b));
  const calls = b.toolCalls ?? [];
  const thoughts = a.reasoning?.trim() ?? '';
  return (
    messageText(a).trim() === messageText(b).trim() &&
    (thoughts === '' || thoughts === b.reasoning?.trim()) &&
    a.toolCalls?.length === b.toolCalls?.length &&
    calls.every((call, i) => sameCall(call, a.toolCalls?.[i], tools))
  );
}

function plain(message: ChatMessage): ChatMessage {
  return { ...message, content: messageText(message) };
}

function sameCall(a: ToolCall, b: ToolCall | undefined, tools: readonly ToolDefinition[]): boolean {
  if (a.name !== b?.name) return false;
  const defaults = defaultsOf(tools.find((tool) => tool.name === a.name));
  return isDeepStrictEqual(argumentsOf(a, defaults), argumentsOf(b, defaults));
}

/** Arguments that are no object, as when they were cut off, are taken as they are. */
function argumentsOf(call: ToolCall | undefined, defaults: object): unknown {
  const text = call?.arguments ?? '';
  try {
    const value: unknown = JSON.parse(text.trim() === '' ? '{}' : text);
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject ? { ...defaults, ...value } : value;
  } catch {
    return text;
  }
}

/** What clients write out that the model left out. */
function defaultsOf(tool: ToolDefinition | undefined): object {
  const { properties } = Object(tool?.parameters) as { properties?: unknown };
  const entries = Object.entries(Object(properties) as object);
  return Object.fromEntries(
    entries.flatMap(([name, schema]) => {
      const { default: value } = Object(schema) as { default?: unknown };
      return value === undefined ? [] : [[name, value]];
    }),
  );
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
