/** What tells conversations apart: digests over their messages, whatever clients change when they send them again. Pure. */
import { createHash } from 'node:crypto';
import type { ChatMessage, GenerationResult, ToolCall, ToolDefinition } from '../engine/types.js';
import { canonicalJson, canonicalJsonText } from './canonical.js';

/** What of an answer tells conversations apart. Thoughts do not: clients leave them out. */
export type SettledAnswer = Pick<GenerationResult, 'text' | 'toolCalls'>;

/** A message, without what clients change when they send it again: ids of calls, spelling of their arguments. */
export interface Said {
  readonly role: string;
  readonly text: string;
  readonly calls: readonly string[];
}

export function said({ role, content, toolCalls }: ChatMessage): Said {
  const text = typeof content === 'string' ? content : content.map((part) => part.text).join('\n');
  return { role, text, calls: canonicalCalls(toolCalls ?? []) };
}

export function answered({ text, toolCalls }: SettledAnswer): Said {
  return { role: 'assistant', text, calls: canonicalCalls(toolCalls) };
}

function canonicalCalls(calls: readonly ToolCall[]): string[] {
  return calls.map((call) => JSON.stringify([call.name, canonicalJsonText(call.arguments)]));
}

/** The name of a beginning: tools, system prompt and first user message. */
export function beginning(messages: readonly Said[], salt: string, tools: readonly ToolDefinition[]): string {
  const system = messages.filter(({ role }) => role === 'system').map(({ text }) => text);
  const user = messages.find(({ role }) => role === 'user')?.text ?? '';
  return shortHash([salt, 'tools', canonicalTools(tools), 'system', system, 'user', user]);
}

/** In the order of their names, which are unique: clients gather them from several servers. */
function canonicalTools(tools: readonly ToolDefinition[]): string[] {
  return [...tools].sort((a, b) => (a.name < b.name ? -1 : 1)).map(canonicalJson);
}

/** One digest per message, each over all messages up to it. */
export function digests(messages: readonly Said[], salt: string): string[] {
  let last = salt;
  return messages.map((message) => (last = link(last, message)));
}

/** Clients trim what they quote, so surrounding space does not count. */
export function link(last: string, { role, text, calls }: Said): string {
  return shortHash([last, role, text.trim(), ...calls]);
}

/** First 16 hex digits of SHA-256 over the JSON form. */
function shortHash(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 16);
}
