// The agents of a soak in one process: each does one thing after another, and every answer goes into the journal.
import { isDeepStrictEqual } from 'node:util';
import { apply, read, write } from './journal.mjs';
import { between, operationOf, turnOf } from './work.mjs';

export class Agents {
  #path;
  #random;
  #conversations = new Map();
  /** Which conversation an agent has with a model. */
  #current = new Map();
  /** Looked after since this process began: what is on disk of them is whole. */
  #seen = new Set();
  /** Had a turn since: the engine has all that the journal has of them. */
  #asked = new Set();
  #next = 0;

  /** Goes on where the journal ends. */
  constructor(path, random) {
    this.#path = path;
    this.#random = random;
    for (const entry of read(path)) {
      apply(this.#conversations, entry);
      this.#next = Math.max(this.#next, Number(entry.id.split('-')[1]) + 1);
    }
    for (const [id, { model }] of this.#conversations) this.#current.set(keyOf(slotOf(id), model), id);
  }

  /** One thing that an agent does with a model. */
  async act(engine, model, slot) {
    const id = this.#conversationOf(model, slot);
    if (!(await this.#isThere(engine, id))) return this.#forget(model, id);
    const operation = operationOf(this.#random, this.#tokensOf(id).length, engine.info.contextTokens);
    await this[operation](engine, model, id);
  }

  /** Forgets what an earlier process left on disk and the journal does not know. */
  async tidy(engine) {
    for (const { id } of await engine.agents()) {
      if (!this.#conversations.has(id)) await engine.agent(id).remove();
    }
  }

  async turn(engine, model, id) {
    const { added, options } = turnOf(this.#random, this.#tokensOf(id), engine.info);
    const { tokens, usage } = await this.#ask(engine, id, added, options).result;
    if (tokens.length !== options.maxTokens)
      throw new Error(`${id}: ${tokens.length} tokens instead of ${options.maxTokens}`);
    this.#asked.add(id);
    this.#write({ type: 'turn', id, model, added, options, tokens, whole: true, ...figures(usage) });
  }

  /** A turn that is told to end before its answer has. */
  async cancel(engine, model, id) {
    const { added, options } = turnOf(this.#random, this.#tokensOf(id), engine.info);
    const generation = this.#ask(engine, id, added, options);
    let left = between(this.#random, 0, options.maxTokens);
    if (left === 0) generation.cancel();
    for await (const { tokens } of generation) {
      left -= tokens.length;
      if (left <= 0) break;
    }
    const { tokens, finishReason, usage } = await generation.result;
    if (tokens.length === 0) return; // it may not have begun
    this.#asked.add(id);
    const whole = finishReason !== 'cancelled';
    this.#write({ type: 'turn', id, model, added, options, tokens, whole, ...figures(usage) });
  }

  async evict(engine, _model, id) {
    if (this.#tokensOf(id).length === 0) return;
    await engine.agent(id).evict();
    this.#write({ type: 'evicted', id });
  }

  async save(engine, _model, id) {
    const { length } = this.#tokensOf(id);
    if (length === 0) return;
    await engine.agent(id).save();
    if (this.#asked.has(id)) this.#write({ type: 'saved', id, length });
  }

  /** A new conversation goes on from this one; both do. */
  async fork(engine, model, id) {
    if (this.#tokensOf(id).length === 0) return;
    const slot = slotOf(id);
    const to = this.#newId(slot);
    if (!(await this.#isForked(engine.agent(id), to))) return;
    this.#write({ type: 'fork', id: to, from: id });
    this.#seen.add(to);
    await this.turn(engine, model, to);
    await this.end(engine, model, id);
    this.#current.set(keyOf(slot, model), to);
  }

  /** All may be running, and leave no room to bring the parent back from disk: that is said, and can be tried again. */
  async #isForked(agent, to) {
    try {
      await agent.fork(to);
      return true;
    } catch (error) {
      if (error.code !== 'POOL_EXHAUSTED') throw error;
      this.#write({ type: 'no room', id: agent.id });
      return false;
    }
  }

  async end(engine, model, id) {
    this.#forget(model, id);
    await engine.agent(id).remove();
  }

  /** What was on disk when the process before this one was killed must be there; what was not may be gone. */
  async #isThere(engine, id) {
    const { saved, tokens } = this.#conversations.get(id) ?? { saved: 0, tokens: [] };
    if (this.#seen.has(id)) return true;
    this.#seen.add(id);
    const agent = engine.agent(id);
    if (saved === 0) return tokens.length === 0 || (await agent.info()) !== undefined;
    const found = (await agent.transcript()).tokens;
    if (!isDeepStrictEqual(found.slice(0, saved), tokens.slice(0, saved)))
      throw new Error(`${id}: of ${saved} tokens that were saved not all are there; found ${found.length}`);
    this.#write({ type: 'found', id });
    return true;
  }

  #forget(model, id) {
    this.#write({ type: 'end', id });
    this.#seen.delete(id);
    this.#asked.delete(id);
    this.#current.delete(keyOf(slotOf(id), model));
  }

  #ask(engine, id, added, options) {
    return engine.agent(id).generate([...this.#tokensOf(id), ...added], options);
  }

  #tokensOf(id) {
    return this.#conversations.get(id)?.tokens ?? [];
  }

  #conversationOf(model, slot) {
    const key = keyOf(slot, model);
    const id = this.#current.get(key) ?? this.#newId(slot);
    this.#current.set(key, id);
    return id;
  }

  #newId(slot) {
    return `${slot}-${this.#next++}`;
  }

  #write(entry) {
    write(this.#path, entry);
    apply(this.#conversations, entry);
  }
}

const figures = ({ restoredTokens, computedTokens, acceptedTokens }) => ({
  restored: restoredTokens,
  computed: computedTokens,
  accepted: acceptedTokens,
});
const keyOf = (slot, model) => `${slot} ${model}`;
const slotOf = (id) => id.split('-')[0];
