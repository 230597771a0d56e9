/**
 * Names for conversations that come without one. A conversation is named after its beginning: the first
 * 16 hex digits of SHA-256 over tools, system prompt and first user message. Two that begin alike share that
 * name until they part, or meet in time; the later one then gets a second part, after all of its messages.
 *
 * Conversations outlive the process in the files of their agents. Before a name is given, the agents that it may
 * belong to are looked up: by their names, whose second part is among the digests of every later request, then by
 * their messages, which are read once.
 *
 * One per server; main thread only. Bounded: the least recently used beginnings are forgotten, and looked up again.
 */
import type { ChatMessage, ToolDefinition } from '../engine/types.js';
import { answered, beginning, digests, link, type SettledAnswer, said } from './conversation-digests.js';

/** A conversation that is being continued; `settle` ends its turn. */
export interface AnonymousTurn {
  readonly agentId: string;
  /** @param answer what was generated, or undefined when the turn failed. */
  settle(answer: SettledAnswer | undefined): void;
}

/** The agents that there are already. */
export interface SavedAgents {
  /** Agents of another model are others. */
  readonly model: string;
  /** Names that begin so. */
  names(prefix: string): Promise<readonly string[]>;
  /** Of the agent's conversation, its last answer included; empty when they are not known. */
  messages(id: string): Promise<readonly ChatMessage[]>;
}

/** Conversations that begin alike. */
interface Family {
  readonly name: string;
  readonly members: Map<string, Member>;
  /** All names that are given, members' or not. */
  readonly taken: Set<string>;
  /** Agents whose messages have not been looked at. */
  readonly unread: Set<string>;
  /** The model whose agents are listed, and the listing. */
  model: string | undefined;
  listed: Promise<void> | undefined;
}

interface Member {
  readonly id: string;
  end: End;
  busy: boolean;
}

/** What is kept of a conversation: a digest covers all messages up to it, so the last two tell enough. */
interface End {
  /** Messages; 0 when they are not known. */
  readonly length: number;
  readonly last: string;
  /** Of all messages but the last; undefined when there is one. */
  readonly before: string | undefined;
}

/** Conversations with one beginning that are told apart. */
const MAX_MEMBERS = 256;

export class AnonymousAgents {
  readonly #limit: number;
  /** By the name of the beginning; in order of use. */
  readonly #families = new Map<string, Family>();

  /** @param limit beginnings that are remembered. */
  constructor(limit = 4096) {
    this.#limit = limit;
  }

  /**
   * REQUIRES: `messages` is not empty.
   * @param salt keeps conversations of different salts apart.
   * @throws what `saved` throws
   */
  async begin(
    messages: readonly ChatMessage[],
    salt: string,
    tools: readonly ToolDefinition[],
    saved: SavedAgents,
  ): Promise<AnonymousTurn> {
    const whole = messages.map(said);
    const family = this.#touch(beginning(whole, salt, tools));
    const chain = digests(whole, salt);
    await recall(family, chain, salt, saved);
    const member = continued(family.members, chain) ?? join(family, chain);
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

  #touch(name: string): Family {
    const family = this.#families.get(name) ?? newFamily(name);
    this.#families.delete(name);
    this.#families.set(name, family);
    for (const oldest of this.#families.keys()) {
      if (this.#families.size <= this.#limit) break;
      this.#families.delete(oldest);
    }
    return family;
  }
}

function newFamily(name: string): Family {
  return {
    name,
    members: new Map(),
    taken: new Set(),
    unread: new Set(),
    model: undefined,
    listed: undefined,
  };
}

/** Looks at the agents that a conversation may belong to, those of them that have not been looked at. */
async function recall(
  family: Family,
  chain: readonly string[],
  salt: string,
  saved: SavedAgents,
): Promise<void> {
  if (family.model !== saved.model) {
    family.model = saved.model;
    family.listed = list(family, saved);
  }
  await family.listed;
  const unread = [...family.unread].filter((id) => mayBe(family, id, chain)).slice(0, MAX_MEMBERS);
  await Promise.all(
    unread.map(async (id) => {
      const messages = await saved.messages(id);
      // Another request that begins alike may have been quicker.
      if (!family.unread.delete(id)) return;
      admit(family, { id, end: endOf(digests(messages.map(said), salt)), busy: false });
    }),
  );
}

async function list(family: Family, saved: SavedAgents): Promise<void> {
  try {
    for (const id of await saved.names(family.name)) {
      if (family.taken.has(id)) continue;
      family.taken.add(id);
      family.unread.add(id);
    }
  } catch (error) {
    family.model = undefined; // the next request tries again
    throw error;
  }
}

/** A conversation holds the messages that its agent was named after. */
function mayBe({ name }: Family, id: string, chain: readonly string[]): boolean {
  return id === name || chain.includes(id.split('-')[1] ?? '');
}

function join(family: Family, chain: readonly string[]): Member {
  const own = `${family.name}-${chain.at(-1) ?? ''}`;
  let id = family.name;
  for (let n = 0; family.taken.has(id); n++) id = n === 0 ? own : `${own}-${n}`;
  family.taken.add(id);
  return admit(family, { id, end: endOf(chain), busy: true });
}

function admit({ members }: Family, member: Member): Member {
  const idle = [...members.values()].find((other) => !other.busy);
  if (members.size >= MAX_MEMBERS && idle) members.delete(idle.id);
  members.set(member.id, member);
  return member;
}

/**
 * The idle member whose whole conversation, but for its last answer, this one repeats: the longest, and of those
 * the one that gave this answer.
 */
function continued(members: ReadonlyMap<string, Member>, chain: readonly string[]): Member | undefined {
  let best: Member | undefined;
  for (const member of members.values()) {
    const continues = !member.busy && isRepeated(member.end, chain);
    if (continues && (!best || rank(member.end, chain) > rank(best.end, chain))) best = member;
  }
  return best;
}

function isRepeated({ length, last, before }: End, chain: readonly string[]): boolean {
  if (length === 0) return true;
  return before === undefined ? chain[0] === last : chain[length - 2] === before;
}

function rank({ length, last }: End, chain: readonly string[]): number {
  return 2 * length + (chain[length - 1] === last ? 1 : 0);
}

function endOf(chain: readonly string[]): End {
  return { length: chain.length, last: chain.at(-1) ?? '', before: chain.at(-2) };
}

function followed(end: End, last: string): End {
  return { length: end.length + 1, last, before: end.last };
}
