/**
 * The transcripts of the agents: those in use in memory, all of them with the engine, which keeps them
 * beside the caches. Saves in the background after each turn. Main thread only.
 */
import { type StompError, toStompError } from '../errors.js';
import type { NativeEngine } from '../native.js';
import { Transcript } from './text/transcript.js';

/** Transcripts that the engine has, too, are dropped beyond this. */
const memoryBudgetBytes = 64 * 1024 * 1024;

interface Conversation {
  transcript: Transcript;
  /** The engine has not been given this transcript, or failed to write it. */
  dirty: boolean;
  saving: Promise<void> | undefined;
}

export interface ConversationsSetup {
  engine: Pick<NativeEngine, 'save' | 'transcript'>;
  vocabSize: number;
  onWarning: (warning: StompError) => void;
}

export class Conversations {
  readonly #engine: Pick<NativeEngine, 'save' | 'transcript'>;
  readonly #vocabSize: number;
  readonly #onWarning: (warning: StompError) => void;
  /** Least recently used first. */
  readonly #known = new Map<string, Conversation>();
  #bytes = 0;
  /** Reads under way; stale when the agent was forgotten meanwhile. */
  readonly #reads = new Set<{ agent: string; stale: boolean }>();

  constructor(setup: ConversationsSetup) {
    this.#engine = setup.engine;
    this.#vocabSize = setup.vocabSize;
    this.#onWarning = setup.onWarning;
  }

  /** Empty for an agent that does not exist. */
  async read(agent: string): Promise<Transcript> {
    return (await this.#open(agent)).transcript;
  }

  /** Those whose transcripts are in memory, empty ones left out. */
  get agents(): string[] {
    return [...this.#known].flatMap(([agent, { transcript }]) =>
      transcript === Transcript.empty ? [] : [agent],
    );
  }

  /** A turn has ended: remembers it and saves the agent in the background. */
  write(agent: string, transcript: Transcript): void {
    const conversation = this.#put(agent, transcript);
    conversation.dirty = true;
    this.#saveSoon(agent, conversation);
  }

  /** @throws StompError CACHE_PERSISTENCE, AGENT_NOT_FOUND */
  async save(agent: string): Promise<void> {
    const conversation = await this.#open(agent);
    await conversation.saving;
    conversation.dirty = false;
    try {
      await this.#engine.save(agent, conversation.transcript.toJson());
    } catch (caught) {
      const error = toStompError(caught);
      conversation.dirty = true;
      if (error.code === 'AGENT_NOT_FOUND') this.forget(agent);
      throw error;
    }
  }

  /** Gives the engine what it has not been given. @throws as `save` does */
  async settle(agent: string): Promise<void> {
    const conversation = this.#known.get(agent);
    await conversation?.saving;
    if (conversation?.dirty) await this.save(agent);
  }

  /** Settles every agent; failures become warnings. */
  async settleAll(): Promise<void> {
    const settled = [...this.#known.keys()].map((agent) =>
      this.settle(agent).catch((error: unknown) => this.#onWarning(toStompError(error))),
    );
    await Promise.all(settled);
  }

  /** The agent is no more, or its memory is wanted; unsaved turns are lost. */
  forget(agent: string): void {
    for (const read of this.#reads) read.stale ||= read.agent === agent;
    const known = this.#known.get(agent);
    if (!known) return;
    known.dirty = false;
    this.#bytes -= known.transcript.bytes;
    this.#known.delete(agent);
  }

  /** As `forget`, for all agents that are not to be kept. */
  forgetAll(keep: ReadonlySet<string>): void {
    const agents = [...this.#known.keys(), ...[...this.#reads].map((read) => read.agent)];
    for (const agent of agents) if (!keep.has(agent)) this.forget(agent);
  }

  async #open(agent: string): Promise<Conversation> {
    const known = this.#known.get(agent);
    if (known) {
      this.#known.delete(agent);
      this.#known.set(agent, known);
      return known;
    }
    const read = { agent, stale: false };
    this.#reads.add(read);
    const transcript = await this.#restore(agent).finally(() => this.#reads.delete(read));
    // What was removed meanwhile must not come back.
    if (read.stale) return this.#known.get(agent) ?? this.#put(agent, Transcript.empty);
    // Another read may have been quicker, and a turn may have followed it.
    return this.#known.get(agent) ?? this.#put(agent, transcript);
  }

  async #restore(agent: string): Promise<Transcript> {
    try {
      return Transcript.fromJson(await this.#engine.transcript(agent), this.#vocabSize);
    } catch (caught) {
      const error = toStompError(caught);
      // The request that follows sets the file aside and says so, too.
      if (error.code === 'CACHE_CORRUPT' || error.code === 'INCOMPATIBLE_CACHE') this.#onWarning(error);
      else if (error.code !== 'AGENT_NOT_FOUND') throw error;
      return Transcript.empty;
    }
  }

  #put(agent: string, transcript: Transcript): Conversation {
    const before = this.#known.get(agent);
    const conversation = before ?? { transcript, dirty: false, saving: undefined };
    if (before) this.#bytes -= before.transcript.bytes;
    conversation.transcript = transcript;
    this.#bytes += transcript.bytes;
    this.#known.delete(agent);
    this.#known.set(agent, conversation);
    this.#trim(agent);
    return conversation;
  }

  // One save at a time for each agent: turns that end meanwhile share the next one.
  #saveSoon(agent: string, conversation: Conversation): void {
    conversation.saving ??= this.#saveWhileDirty(agent, conversation).finally(() => {
      conversation.saving = undefined;
      this.#trim();
    });
  }

  async #saveWhileDirty(agent: string, conversation: Conversation): Promise<void> {
    while (conversation.dirty) {
      conversation.dirty = false;
      try {
        await this.#engine.save(agent, conversation.transcript.toJson());
      } catch (error) {
        // Tried again after the next turn.
        conversation.dirty = true;
        if (this.#known.get(agent) === conversation) this.#onWarning(toStompError(error));
        return;
      }
    }
  }

  #trim(keep?: string): void {
    for (const [agent, conversation] of this.#known) {
      if (this.#bytes <= memoryBudgetBytes) return;
      if (agent !== keep && !conversation.dirty && !conversation.saving) this.forget(agent);
    }
  }
}
