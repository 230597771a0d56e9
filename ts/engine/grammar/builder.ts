/**
 * Collects the rules of a grammar. Nodes may be such that nothing derives from them (`or()` of nothing); `build`
 * takes them out, with all that depends on them and all that cannot be reached.
 */
import { StompError } from '../../errors.js';
import { type Grammar, type GrammarNode, ref } from './ir.js';
import { Languages } from './regular/language.js';
import { never, simplify } from './simplify.js';
import { Work } from './work.js';

/** Nodes of one grammar. Beyond this, masks and memory would no longer be cheap. */
const maxNodes = 200_000;
/** Attempts that end at some limit, each of which may have taken all the work that a form may take. */
const maxFailures = 3;

export class GrammarBuilder {
  /** What the whole form may cost. */
  readonly work: Work;
  /** Of all schemas of the form, so that what two of them ask for is made once. */
  readonly languages: Languages;
  readonly #rules = new Map<string, GrammarNode>();
  readonly #taken = new Set<string>(['root']);
  readonly #lastSuffix = new Map<string, number>();
  #nodes = 0;
  #failures = 0;
  /** Of attempts that came to nothing. */
  #wasted = 0;

  constructor(work = new Work()) {
    this.work = work;
    this.languages = new Languages(work);
  }

  /** A name like `name` that no other rule has. Refer to it with `ref` and give it a node with `define`. */
  reserve(name: string): string {
    let suffix = this.#lastSuffix.get(name) ?? 1;
    let free = name;
    while (this.#taken.has(free)) {
      suffix += 1;
      free = `${name}.${suffix}`;
    }
    this.#lastSuffix.set(name, suffix);
    this.#taken.add(free);
    return free;
  }

  /**
   * Gives a reserved name its node, once.
   * @throws StompError INVALID_REQUEST when the grammar grows too large.
   */
  define(name: string, node: GrammarNode): void {
    const nodes = size(node);
    this.work.spend(nodes);
    this.#nodes += nodes;
    if (this.#nodes > maxNodes) throw tooLarge();
    this.#rules.set(name, node);
  }

  /** A rule of its own for `node`. Returns the reference to it. */
  rule(name: string, node: GrammarNode): GrammarNode {
    const free = this.reserve(name);
    this.define(free, node);
    return ref(free);
  }

  /** The rule of exactly this name, made at the first call. For what is the same wherever it is used. */
  shared(name: string, make: () => GrammarNode): GrammarNode {
    if (!this.#taken.has(name)) {
      this.#taken.add(name);
      this.define(name, make());
    }
    return ref(name);
  }

  /**
   * What `make` returns; if it throws, its rules are taken back. Only so much work may come to nothing: beyond that
   * every attempt fails at once.
   * @throws StompError INVALID_REQUEST, and what `make` throws
   */
  attempt<T>(make: () => T): T {
    if (this.#failures >= maxFailures || this.#wasted > maxNodes) throw tooLarge();
    const before = { rules: this.#rules.size, taken: this.#taken.size, nodes: this.#nodes };
    const { spent } = this.work;
    try {
      return make();
    } catch (error) {
      if (error instanceof StompError && error.code === 'INVALID_REQUEST') this.#failures += 1;
      this.#wasted += this.#nodes - before.nodes;
      this.#nodes = before.nodes;
      this.work.restore(spent);
      for (const name of [...this.#rules.keys()].slice(before.rules)) this.#rules.delete(name);
      for (const name of [...this.#taken].slice(before.taken)) this.#taken.delete(name);
      throw error;
    }
  }

  /**
   * The grammar that derives what `root` does. May be called again, with another root.
   * @param where what asked for it, for the message.
   * @throws StompError INVALID_REQUEST when nothing derives from `root`.
   */
  build(root: GrammarNode, where = 'grammar'): Grammar {
    const all = new Map(this.#rules).set('root', root);
    const productive = productiveRules(all);
    if (!productive.has('root')) {
      throw new StompError(
        'INVALID_REQUEST',
        `Nothing can satisfy "${where}"; check what it demands together.`,
        {
          fields: { field: where },
        },
      );
    }
    const rules: Record<string, GrammarNode> = {};
    const waiting = ['root'];
    const seen = new Set(waiting);
    for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
      const node = simplify(all.get(name) ?? never, (target) => productive.has(target));
      rules[name] = node;
      for (const target of references(node)) {
        if (seen.has(target)) continue;
        seen.add(target);
        waiting.push(target);
      }
    }
    return { rules };
  }
}

function tooLarge(): StompError {
  return new StompError(
    'INVALID_REQUEST',
    'The form that is asked for is too large; use a smaller schema, fewer tools, or shorter patterns.',
    { fields: { limit: 'grammar_nodes', maximum: maxNodes } },
  );
}

/** Names of the rules from which some text derives. */
function productiveRules(rules: ReadonlyMap<string, GrammarNode>): Set<string> {
  const dependents = dependentRules(rules);
  const productive = new Set<string>();
  const waiting = [...rules.keys()];
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    const node = rules.get(name);
    if (node === undefined || productive.has(name) || !derives(node, productive)) continue;
    productive.add(name);
    waiting.push(...(dependents.get(name) ?? []));
  }
  return productive;
}

/** For each rule those that refer to it. */
function dependentRules(rules: ReadonlyMap<string, GrammarNode>): Map<string, string[]> {
  const dependents = new Map<string, string[]>();
  for (const [name, node] of rules) {
    for (const target of references(node)) {
      const known = dependents.get(target);
      if (known) known.push(name);
      else dependents.set(target, [name]);
    }
  }
  return dependents;
}

function derives(node: GrammarNode, productive: ReadonlySet<string>): boolean {
  if ('ref' in node) return productive.has(node.ref);
  if ('seq' in node) return node.seq.every((part) => derives(part, productive));
  if ('or' in node) return node.or.some((branch) => derives(branch, productive));
  if ('repeat' in node) return node.min === 0 || derives(node.repeat, productive);
  return !('chars' in node) || node.chars.length > 0;
}

function children(node: GrammarNode): readonly GrammarNode[] {
  if ('seq' in node) return node.seq;
  if ('or' in node) return node.or;
  return 'repeat' in node ? [node.repeat] : [];
}

function references(node: GrammarNode, found = new Set<string>()): Set<string> {
  if ('ref' in node) found.add(node.ref);
  for (const child of children(node)) references(child, found);
  return found;
}

function size(node: GrammarNode): number {
  return children(node).reduce((sum, child) => sum + size(child), 1);
}
