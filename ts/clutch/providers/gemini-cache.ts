/** What Gemini keeps of prompts' beginnings, by hash. Each is paid for by the hour, so none is left behind. */
import { createHash } from 'node:crypto';
import { StompError } from '../../errors.js';

/** Lifetime that is asked for. */
export const cacheTtlSeconds = 3600;
/** A cache is made anew at this share of its lifetime, so that none ends under a request. */
const renewalShare = 0.9;

/** What is cached: plain JSON. */
export interface CachePrefix {
  readonly model: string;
  readonly system: readonly string[];
  readonly tools: readonly unknown[];
}

export interface CacheActions {
  /** Not cancelled: others may wait for it. @returns its name, or undefined where the prefix is too short or cannot be cached */
  create(prefix: CachePrefix): Promise<string | undefined>;
  /** Also succeeds where there is none of this name any more. */
  remove(name: string): Promise<void>;
  /** Milliseconds. */
  now(): number;
  /** A cache could not be removed; it ends by itself. */
  onWarning(warning: StompError): void;
}

interface Entry {
  readonly name: Promise<string | undefined>;
  readonly madeMs: number;
  /** Who asks with this prefix. */
  readonly agents: Set<string>;
}

export class GeminiCaches {
  readonly #actions: CacheActions;
  readonly #entries = new Map<string, Entry>();

  constructor(actions: CacheActions) {
    this.#actions = actions;
  }

  /** An agent has one prefix at a time: what it used before goes, unless others use it too. */
  async use(agentId: string, prefix: CachePrefix): Promise<string | undefined> {
    const key = createHash('sha256').update(JSON.stringify(prefix)).digest('hex');
    const superseded = this.#leave(agentId, key);
    const entry = this.#entries.get(key) ?? this.#make(key, prefix);
    entry.agents.add(agentId);
    await Promise.all(superseded.map((old) => this.#remove(old)));
    return entry.name;
  }

  /** The provider does not know it any more. */
  async forget(name: string): Promise<void> {
    for (const [key, entry] of this.#entries) {
      if ((await entry.name.catch(() => undefined)) === name) this.#entries.delete(key);
    }
  }

  /** Removes all. */
  async close(): Promise<void> {
    const entries = [...this.#entries.values()];
    this.#entries.clear();
    await Promise.all(entries.map((entry) => this.#remove(entry)));
  }

  #make(key: string, prefix: CachePrefix): Entry {
    const name = this.#actions.create(prefix);
    const entry: Entry = { name, madeMs: this.#actions.now(), agents: new Set() };
    this.#entries.set(key, entry);
    // Whoever asked hears of the failure; the next one tries again.
    name.catch(() => {
      if (this.#entries.get(key) === entry) this.#entries.delete(key);
    });
    return entry;
  }

  /** @returns those that nobody uses now, or that are about to end */
  #leave(agentId: string, key: string): Entry[] {
    const renewMs = cacheTtlSeconds * 1000 * renewalShare;
    return [...this.#entries].flatMap(([other, entry]) => {
      if (other !== key) entry.agents.delete(agentId);
      const isUsed = other === key || entry.agents.size > 0;
      if (isUsed && this.#actions.now() - entry.madeMs < renewMs) return [];
      this.#entries.delete(other);
      return [entry];
    });
  }

  async #remove(entry: Entry): Promise<void> {
    const name = await entry.name.catch(() => undefined); // then there is nothing to remove
    if (name === undefined) return;
    try {
      await this.#actions.remove(name);
    } catch {
      const message = `The cached content ${name} could not be deleted; it ends by itself within the hour.`;
      this.#actions.onWarning(new StompError('PROVIDER_FAILED', message, { fields: { name } }));
    }
  }
}
