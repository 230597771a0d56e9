/**
 * Names for conversations that come without one. A conversation is named after its beginning: the first
 * 16 hex digits of SHA-256 over tools (none yet), system prompt and first user message. Two that begin alike share that
 * name until they part, or meet in time; the later one is then named after all of its messages.
 * One per server; main thread only. Bounded: the least recently used conversations are forgotten, which
 * costs them a fresh name and no cached block.
 */
import { createHash } from 'node:crypto';
import type { ChatMessage } from '../engine/types.js';

/** A conversation that is being continued; `settle` ends its turn. */
export interface AnonymousTurn {
  readonly agentId: string;
  /** @param answer the text that was generated, or undefined when the turn failed. */
  settle(answer: string | undefined): void;
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
  begin(messages: readonly ChatMessage[], salt: string): AnonymousTurn {
    const family = beginning(messages, salt);
    const members = this.#touch(family);
    const chain = digests(messages, salt);
    const member = continued(members, chain) ?? this.#join(members, family, chain);
    member.busy = true;
    return {
      agentId: member.id,
      settle: (answer) => {
        member.busy = false;
        member.chain =
          answer === undefined ? chain : [...chain, link(chain.at(-1) ?? '', 'assistant', answer)];
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

function beginning(messages: readonly ChatMessage[], salt: string): string {
  const system = messages.filter((message) => message.role === 'system').map(textOf);
  const user = messages.find((message) => message.role === 'user');
  return shortHash([salt, 'tools', [], 'system', system, 'user', user ? textOf(user) : '']);
}

function digests(messages: readonly ChatMessage[], salt: string): string[] {
  let last = salt;
  return messages.map((message) => (last = link(last, message.role, textOf(message))));
}

/** Clients trim what they quote, so surrounding space does not count. */
function link(last: string, role: string, text: string): string {
  return shortHash([last, role, text.trim()]);
}

function textOf(message: ChatMessage): string {
  const { content } = message;
  return typeof content === 'string' ? content : content.map((part) => part.text).join('\n');
}

/** First 16 hex digits of SHA-256 over the JSON form. */
function shortHash(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 16);
}
