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
  /** One digest per message, each over all messages up to it. */
  chain: readonly string[];
  busy: boolean;
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
    return {
      agentId: member.id,
      settle: (answer) => {
        member.busy = false;
        member.chain = answer ? [...chain, link(chain.at(-1) ?? '', answered(answer))] : chain;
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
    const member = { id, chain, busy: true };
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
    const shared = sharedLength(member.chain, chain);
    const continues = !member.busy && shared >= member.chain.length - 1 && shared > 0;
    if (continues && member.chain.length > (best?.chain.length ?? 0)) best = member;
  }
  return best;
}

function sharedLength(a: readonly string[], b: readonly string[]): number {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length++;
  return length;
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
