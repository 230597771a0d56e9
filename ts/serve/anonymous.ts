/**
 * Names for conversations that come without one. A conversation is named after its beginning: the first
 * 16 hex digits of SHA-256 over tools, system prompt and first user message. Two that begin alike share that
 * name until they part, or meet in time; the later one is then named after all of its messages.
 * One per server; main thread only. Bounded: the least recently used conversations are forgotten, which
 * costs them a fresh name and no cached block.
 */
import { createHash } from 'node:crypto';
import type { ChatMessage, GenerationResult, ToolCall, ToolDefinition } from '../engine/types.js';
import { canonicalJson, canonicalJsonText } from './canonical.js';

/** What of an answer tells conversations apart. Thoughts do not: clients leave them out. */
export type SettledAnswer = Pick<GenerationResult, 'text' | 'toolCalls'>;

/** A conversation that is being continued; `settle` ends its turn. */
export interface AnonymousTurn {
  readonly agentId: string;
  /** @param answer what was generated, or undefined when the turn failed. */
  settle(answer: SettledAnswer | undefined): void;
}

interface Member {
  readonly id: string;
  end: End;
  busy: boolean;
}

/** What is kept of a conversation: a digest covers all messages up to it, so the last two tell enough. */
interface End {
  /** Messages. */
  readonly length: number;
  readonly last: string;
  /** Of all messages but the last; undefined when there is one. */
  readonly before: string | undefined;
}

export class AnonymousAgents {
  readonly #limit: number;
  /** By the name of the beginning; in order of use. */
  readonly #families = new Map<string, Member[]>();

  /** @param limit beginnings that are remembered. */
  constructor(limit = 4096) {
    this.#limit = limit;
  }

  /** REQUIRES: `messages` is not empty. @param salt keeps conversations of different salts apart. */
  begin(
    messages: readonly ChatMessage[],
    salt: string,
    tools: readonly ToolDefinition[] = [],
  ): AnonymousTurn {
    const whole = messages.map(said);
    const family = beginning(whole, salt, tools);
    const members = this.#touch(family);
    const chain = digests(whole, salt);
    const member = continued(members, chain) ?? this.#join(members, family, chain);
    member.busy = true;
    const end = endOf(chain);
    return {
      agentId: member.id,
      settle: (answer) => {
        member.busy = false;
        member.end = answer ? followed(end, link(end.last, answered(answer))) : end;
      },
    };
  }

  #touch(family: string): Member[] {
    const members = this.#families.get(family) ?? [];
    this.#families.delete(family);
    this.#families.set(family, members);
    for (const oldest of this.#families.keys()) {
      if (this.#families.size <= this.#limit) break;
      this.#families.delete(oldest);
    }
    return members;
  }

  #join(members: Member[], family: string, chain: readonly string[]): Member {
    let id = family;
    for (let n = 0; members.some((member) => member.id === id); n++) id = shortHash([chain.at(-1), n]);
    const idle = members.length < MAX_MEMBERS ? -1 : members.findIndex((other) => !other.busy);
    if (idle >= 0) members.splice(idle, 1);
    const member = { id, end: endOf(chain), busy: true };
    members.push(member);
    return member;
  }
}

/** Conversations with one beginning that are told apart. */
const MAX_MEMBERS = 256;

/** The idle member whose whole conversation, but for its last answer, this one repeats; the longest. */
function continued(members: readonly Member[], chain: readonly string[]): Member | undefined {
  let best: Member | undefined;
  for (const member of members) {
    const continues = !member.busy && isRepeated(member.end, chain);
    if (continues && member.end.length > (best?.end.length ?? 0)) best = member;
  }
  return best;
}

function isRepeated({ length, last, before }: End, chain: readonly string[]): boolean {
  return before === undefined ? chain[0] === last : chain[length - 2] === before;
}

/** REQUIRES: `chain` is not empty. */
function endOf(chain: readonly string[]): End {
  return { length: chain.length, last: chain.at(-1) ?? '', before: chain.at(-2) };
}

function followed(end: End, last: string): End {
  return { length: end.length + 1, last, before: end.last };
}

/** A message, without what clients change when they send it again: ids of calls, spelling of their arguments. */
interface Said {
  readonly role: string;
  readonly text: string;
  readonly calls: readonly string[];
}

function said({ role, content, toolCalls }: ChatMessage): Said {
  const text = typeof content === 'string' ? content : content.map((part) => part.text).join('\n');
  return { role, text, calls: canonicalCalls(toolCalls ?? []) };
}

function answered({ text, toolCalls }: SettledAnswer): Said {
  return { role: 'assistant', text, calls: canonicalCalls(toolCalls) };
}

function canonicalCalls(calls: readonly ToolCall[]): string[] {
  return calls.map((call) => JSON.stringify([call.name, canonicalJsonText(call.arguments)]));
}

function beginning(messages: readonly Said[], salt: string, tools: readonly ToolDefinition[]): string {
  const system = messages.filter(({ role }) => role === 'system').map(({ text }) => text);
  const user = messages.find(({ role }) => role === 'user')?.text ?? '';
  return shortHash([salt, 'tools', canonicalTools(tools), 'system', system, 'user', user]);
}

/** In the order of their names, which are unique: clients gather them from several servers. */
function canonicalTools(tools: readonly ToolDefinition[]): string[] {
  return [...tools].sort((a, b) => (a.name < b.name ? -1 : 1)).map(canonicalJson);
}

/** One digest per message, each over all messages up to it. */
function digests(messages: readonly Said[], salt: string): string[] {
  let last = salt;
  return messages.map((message) => (last = link(last, message)));
}

/** Clients trim what they quote, so surrounding space does not count. */
function link(last: string, { role, text, calls }: Said): string {
  return shortHash([last, role, text.trim(), ...calls]);
}

/** First 16 hex digits of SHA-256 over the JSON form. */
function shortHash(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 16);
}
